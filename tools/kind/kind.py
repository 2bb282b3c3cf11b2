"""A cluster of kind's: made, found, woken, given an image, removed."""

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tools.kind.command import ClusterError, CommandError, output, say, show, step, until
from tools.kind.host import check_room
from tools.kind.kube import Kube

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "k8s" / "kind.yaml"
DEFAULT = "pdf-fleet"
NODES = CONFIG.read_text().count("- role:")
READY_SECONDS = 300


@dataclass(frozen=True)
class KindCluster:
    """A cluster by its name in kind."""

    name: str = DEFAULT

    @property
    def kubeconfig(self) -> Path:
        """The kubeconfig of this cluster alone; no other file is read or written."""
        return ROOT / "build" / f"kind-{self.name}.kubeconfig"

    @property
    def kube(self) -> Kube:
        """This cluster for kubectl and helm."""
        return Kube(self.kubeconfig, f"kind-{self.name}")

    def exists(self) -> bool:
        """Say whether kind knows the cluster."""
        return self.name in output("kind", "get", "clusters").split()

    def nodes(self) -> list[str]:
        """Return the names of the cluster's containers, running or not."""
        return sorted(output("kind", "get", "nodes", "--name", self.name).split())

    def require(self) -> Kube:
        """Return the cluster for kubectl, its kubeconfig written anew by kind.

        Raises:
            ClusterError: it does not exist, or does not answer.
        """
        if not self.exists():
            raise ClusterError(f"There is no kind cluster {self.name}: run `make cluster` first.")
        self._wake()
        self.kubeconfig.parent.mkdir(exist_ok=True)
        text = output("kind", "get", "kubeconfig", "--name", self.name)
        with os.fdopen(os.open(self.kubeconfig, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)
        try:
            self.kube.run("get", "--raw", "/readyz", "--request-timeout=30s")
        except CommandError as error:
            raise ClusterError(
                f"The cluster {self.name} does not answer: `make cluster-down cluster` makes it anew.\n{error.message}"
            ) from None
        return self.kube

    def up(self) -> Kube:
        """Make the cluster where it is missing, and wait until every node is ready.

        Raises:
            ClusterError: it cannot be made (nothing of it is left), or is another than k8s/kind.yaml says.
        """
        if self.exists():
            say(f"The kind cluster {self.name} is there.")
            if (found := len(self.nodes())) != NODES:
                raise ClusterError(
                    f"It has {found} nodes and {CONFIG.relative_to(ROOT)} asks for {NODES}: "
                    "`make cluster-down cluster` makes it anew."
                )
        else:
            check_room()
            with step(f"Making the kind cluster {self.name}: 1 control plane, {NODES - 1} workers"):
                self._create()
        kube = self.require()
        kube.wait("condition=Ready", "nodes", "--all", seconds=READY_SECONDS)
        return kube

    def _create(self) -> None:
        self.kubeconfig.parent.mkdir(exist_ok=True)
        try:
            show(
                *("kind", "create", "cluster", "--name", self.name, "--config", str(CONFIG)),
                *("--kubeconfig", str(self.kubeconfig), "--wait", f"{READY_SECONDS}s"),
            )
        except BaseException:  # Ctrl-C too: half a cluster would pass for one the next time
            self.remove()
            raise

    def _wake(self) -> None:
        """Start nodes that were stopped, as they are after a restart of the machine."""
        lines = output("docker", "inspect", "--format", "{{.State.Running}} {{.Name}}", *self.nodes())
        stopped = [line.split(" /", 1)[1] for line in lines.splitlines() if line.startswith("false ")]
        if stopped:
            with step(f"Starting the nodes that are stopped: {', '.join(stopped)}"):
                since = datetime.now(UTC).isoformat()
                output("docker", "start", *stopped)
                # A node counts as ready for 40 s after its stop, so only a newer sign of life will do.
                until(lambda: all(self._alive_at(node) > since for node in stopped), seconds=READY_SECONDS)

    def _alive_at(self, node: str) -> str:
        """Return when a node last told the cluster that it lives (ISO, UTC); "" while nobody can say."""
        kubectl = ("docker", "exec", f"{self.name}-control-plane", "kubectl")
        asked = ("get", "lease", node, "--namespace=kube-node-lease", "--output=jsonpath={.spec.renewTime}")
        try:
            return output(*kubectl, "--kubeconfig=/etc/kubernetes/admin.conf", *asked)
        except CommandError:
            return ""

    def load(self, *images: str) -> None:
        """Bring images to every node that runs pods of ours and does not have them.

        Raises:
            CommandError: it is not in docker, or a node cannot take it.
        """
        workers = [node for node in self.nodes() if not node.endswith("-control-plane")]
        show("kind", "load", "docker-image", *images, "--name", self.name, "--nodes", ",".join(workers))

    def remove(self) -> None:
        """Remove the cluster, whether or not all of it is there."""
        # Not with our kubeconfig alone: where somebody had kind add the cluster to theirs, kind takes it out again.
        output("kind", "delete", "cluster", "--name", self.name)
        self.kubeconfig.unlink(missing_ok=True)


def check_file(path: Path, *, what: str) -> None:
    """Make sure that a file is there.

    Raises:
        ClusterError: it is not.
    """
    if not path.is_file():
        raise ClusterError(f"{path} is not there: {what}.")
