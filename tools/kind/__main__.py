"""`python -m tools.kind COMMAND`: the cluster targets of the Makefile."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from app.errors import FleetError
from app.runtime.signals import Stopped, stop_on_signals
from tools.kind import demo, e2e, release, required
from tools.kind.addons import addons
from tools.kind.command import say
from tools.kind.kind import DEFAULT, ROOT, KindCluster


def up(cluster: KindCluster) -> int:
    """Create the cluster and install KEDA and metrics-server."""
    required.check({"docker", "kind", "kubectl"})
    wanted = addons().values()
    for addon in wanted:
        addon.source()  # report a missing manifest before anything is created
    kube = cluster.up()
    for addon in wanted:
        addon.install(kube)
    say(
        f"The cluster {cluster.name} is ready. Your own kubeconfig is unchanged; for kubectl, helm and skaffold:\n"
        f"  export KUBECONFIG={cluster.kubeconfig}"
    )
    return 0


def run(given: argparse.Namespace, arguments: Sequence[str]) -> int:
    """Run one command and return its exit code.

    Args:
        given: The parsed command line.
        arguments: Further arguments for helm, `fleet watch` or pytest.

    Raises:
        ClusterError: The command cannot be completed; with what to do about it.
    """
    cluster = KindCluster(given.name)
    match given.command:
        case "up":
            return up(cluster)
        case "deploy":
            required.check()
            release.deploy(cluster, arguments)
            say(f"The fleet is in the namespace {release.NAMESPACE}; `make kind-demo` floods it.")
            return 0
        case "demo":
            required.check({"docker", "kind", "kubectl", "helm"})
            return demo.run(cluster.require(), given.documents, given.report, arguments)
        case "e2e":
            required.check()
            up(cluster)
            return e2e.run(cluster, arguments)
        case _:
            return down(cluster)


def down(cluster: KindCluster) -> int:
    """Remove the cluster and everything in it."""
    required.check({"docker", "kind"})
    if cluster.exists():
        say(f"Removing the kind cluster {cluster.name} with everything in it ...")
    else:
        say(f"There is no kind cluster {cluster.name}; nothing to do.")
    cluster.remove()
    return 0


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    command_line = argparse.ArgumentParser(
        prog="python -m tools.kind",
        epilog="Arguments after -- go to helm (deploy), `fleet watch` (demo) or pytest (e2e).",
    )
    command_line.add_argument("command", choices=["up", "deploy", "demo", "e2e", "down"])
    command_line.add_argument(
        "--name", default=DEFAULT, help="name of the kind cluster; default: %(default)s"
    )
    command_line.add_argument(
        "--documents", type=int, default=1000, help="number of PDFs that the demo sends; default: %(default)s"
    )
    command_line.add_argument(
        "--report", type=Path, default=demo.REPORT, help="folder for the demo's report; default: %(default)s"
    )
    return command_line


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    end = words.index("--") if "--" in words else len(words)
    given = parser().parse_args(words[:end])
    stop_on_signals()
    try:
        return run(given, words[end + 1 :])
    except Stopped as stopped:
        return _say("Stopped.", stopped.exit_code)
    except FleetError as error:
        return _say(error.message, error.exit_code)
    except OSError as error:
        return _say(f"{error.filename or ROOT}: {error.strerror or error}.", 1)


def _say(sentence: str, code: int) -> int:
    sys.stderr.write(f"{sentence}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
