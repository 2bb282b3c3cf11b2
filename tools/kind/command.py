"""Other programs: how they are called, shown and failed with."""

import os
import shlex
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TextIO

from app.errors import FleetError

TAIL = 20
"""Lines of a failed program's output that are worth reading."""
ASK_SECONDS = 5.0
OVERRIDES = ("KUBECONFIG", "HELM_KUBE", "HELM_NAMESPACE", "KIND_CLUSTER_NAME", "KIND_EXPERIMENTAL_PROVIDER")
"""Beginnings of variables that would send kubectl, helm or kind elsewhere than told."""


class ClusterError(FleetError):
    """The cluster cannot do what was asked."""


class CommandError(ClusterError):
    """A program failed."""

    def __init__(self, arguments: tuple[str, ...], code: int, output: str) -> None:
        self.output = output.strip()
        lines = self.output.splitlines()[-TAIL:]
        what = f"`{shlex.join(arguments)}` ended with {code}"
        super().__init__(what + (":\n" + "\n".join(f"  {line}" for line in lines) if lines else "."))


def environment() -> dict[str, str]:
    """Return the environment of every program called from here."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OVERRIDES)}
    # The Dockerfile needs BuildKit. An attestation carries the time, so that the same image never had the same name.
    return {**kept, "DOCKER_BUILDKIT": "1", "BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}


def output(*arguments: str, stdin: str | None = None) -> str:
    """Run a program and return what it wrote to its standard output.

    Raises:
        CommandError: it failed; with the end of what it said.
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
    """Say a program's command line and run it; on a terminal it shows its own progress.

    It is ended by SIGTERM once `stop`, asked every few seconds, says so.

    Raises:
        CommandError: it failed.
    """
    with tempfile.TemporaryFile("w+") as said:
        code = _run(arguments, extra, stop, None if sys.stdout.isatty() else said)
        said.seek(0)
        if code:
            raise CommandError(arguments, code, said.read())


def follow(
    *arguments: str, extra: Mapping[str, str] | None = None, stop: Callable[[], bool] = lambda: False
) -> int:
    """Do as `show`, with the program's output where ours goes, and return its exit code."""
    return _run(arguments, extra, stop, None)


def _run(
    arguments: tuple[str, ...],
    extra: Mapping[str, str] | None,
    stop: Callable[[], bool],
    said: TextIO | None,
) -> int:
    say(f"  $ {shlex.join(arguments)}")
    errors = None if said is None else subprocess.STDOUT
    variables = {**environment(), **(extra or {})}
    with subprocess.Popen(arguments, stdout=said, stderr=errors, env=variables) as program:
        while True:
            try:
                return program.wait(ASK_SECONDS)
            except subprocess.TimeoutExpired:
                if stop():
                    program.terminate()


def until(condition: Callable[[], object], *, seconds: float) -> bool:
    """Ask for a condition every second until it holds; return whether it did within `seconds`."""
    pause, end = threading.Event(), time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        pause.wait(1.0)
    return True


def say(line: str) -> None:
    """Tell a person something, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


@contextmanager
def step(what: str) -> Iterator[None]:
    """Say what is done, and then how long it took."""
    say(f"{what} ...")
    since = time.monotonic()
    yield
    say(f"  done in {time.monotonic() - since:.0f} s")
