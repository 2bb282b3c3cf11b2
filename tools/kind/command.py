"""Calls of other programs: with captured output, with progress, and their failures."""

import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TextIO

from app.errors import FleetError

TAIL = 20
"""Lines of a failed program's output that an error shows."""
POLL_SECONDS = 5.0
"""Interval between two calls of a `stop` condition."""
OVERRIDES = ("KUBECONFIG", "HELM_KUBE", "HELM_NAMESPACE", "KIND_CLUSTER_NAME", "KIND_EXPERIMENTAL_PROVIDER")
"""Prefixes of environment variables that would make kubectl, helm or kind use another cluster."""


class ClusterError(FleetError):
    """A command for the cluster cannot be completed."""


class CommandError(ClusterError):
    """A program exited with an error."""

    def __init__(self, arguments: tuple[str, ...], code: int, output: str) -> None:
        self.output = output.strip()
        lines = self.output.splitlines()[-TAIL:]
        what = f"`{shlex.join(arguments)}` ended with {code}"
        super().__init__(what + (":\n" + "\n".join(f"  {line}" for line in lines) if lines else "."))


def environment() -> dict[str, str]:
    """Return the environment variables for every program that this package calls."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OVERRIDES)}
    # The Dockerfile needs BuildKit. Attestations contain the time, so no two builds would have the same name.
    return {**kept, "DOCKER_BUILDKIT": "1", "BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}


def output(*arguments: str, stdin: str | None = None) -> str:
    """Run a program and return its standard output.

    Raises:
        CommandError: It failed; with the end of its output.
    """
    run = subprocess.run(
        arguments, input=stdin, capture_output=True, text=True, env=environment(), check=False
    )
    if run.returncode:
        raise CommandError(arguments, run.returncode, run.stderr or run.stdout)
    return run.stdout


def show(
    *arguments: str, extra: Mapping[str, str] | None = None, stop: Callable[[], bool] = lambda: False
) -> None:
    """Print a program's command line and run it; on a terminal it shows its own progress.

    Args:
        arguments: The command line.
        extra: Additional environment variables.
        stop: Called every `POLL_SECONDS`; the program gets SIGTERM once it returns true.

    Raises:
        CommandError: The program failed.
    """
    with tempfile.TemporaryFile("w+") as captured:
        code = _run(arguments, extra, stop, None if sys.stdout.isatty() else captured)
        captured.seek(0)
        if code:
            raise CommandError(arguments, code, captured.read())


def call(
    *arguments: str, extra: Mapping[str, str] | None = None, stop: Callable[[], bool] = lambda: False
) -> int:
    """Do as `show`, but pass all output through and return the exit code, as `subprocess.call` does."""
    return _run(arguments, extra, stop, None)


def _run(
    arguments: tuple[str, ...],
    extra: Mapping[str, str] | None,
    stop: Callable[[], bool],
    captured: TextIO | None,
) -> int:
    say(f"  $ {shlex.join(arguments)}")
    errors = None if captured is None else subprocess.STDOUT
    variables = {**environment(), **(extra or {})}
    with subprocess.Popen(arguments, stdout=captured, stderr=errors, env=variables) as program:
        while True:
            try:
                return program.wait(POLL_SECONDS)
            except subprocess.TimeoutExpired:
                if stop():
                    program.terminate()


def until(condition: Callable[[], object], *, seconds: float) -> bool:
    """Poll a condition every second until it is true; return whether it was within `seconds`."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(1.0)
    return True


def say(line: str) -> None:
    """Print a line for people, unbuffered."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


@contextmanager
def step(what: str) -> Iterator[None]:
    """Print what is being done, and then how long it took."""
    say(f"{what} ...")
    since = time.monotonic()
    yield
    say(f"  done in {time.monotonic() - since:.0f} s")
