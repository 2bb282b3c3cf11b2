"""One run at a time: in a folder that a run writes, and on a server that is not its own."""

import fcntl
import os
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from app.config import Settings
from app.errors import FleetError
from app.ledger.connection import masked

if TYPE_CHECKING:
    from redis import Redis

HOLD_SECONDS = 30.0
"""How long a claim on a server outlives a run that was killed on another machine."""


@contextmanager
def claimed(folder: Path, *, otherwise: str) -> Iterator[None]:
    """Make `folder` and keep it for this run; the system lets go of it when the process ends, however it ends.

    Args:
        folder: The folder; made if it is missing.
        otherwise: What to say where another run has it.

    Raises:
        FleetError: where another run has it, or it cannot be made or opened.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        # The folder itself is locked: a lock file would be left among its files.
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise FleetError(f"{folder} cannot be written: {error.strerror}.") from None
    try:
        # A file system without locks (some of those on a network) is used without.
        with suppress(OSError):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise FleetError(otherwise) from None
        yield
    finally:
        os.close(descriptor)


class ServerClaim:
    """A local fleet's hold on a server: two with two stores would take each other's documents.

    Args:
        client: A connection to the server, which decodes what it gets.
        config: Names the server and the keys' prefix.
    """

    def __init__(self, client: "Redis", config: Settings) -> None:
        self._client = client
        self._address = masked(config.redis_url)
        self._key = f"{config.key_prefix}local-fleet"
        self._name = f"pid {os.getpid()} on {socket.gethostname()}"
        self._held: float | None = None

    def hold(self) -> None:
        """Take the server, or keep it; call it again and again.

        Raises:
            FleetError: where another run has it.
            ServerError: where the server does not answer.
        """
        now = time.monotonic()
        if self._held is not None and now - self._held < HOLD_SECONDS / 3:
            return
        milliseconds = int(HOLD_SECONDS * 1000)
        if not self._client.set(self._key, self._name, nx=True, px=milliseconds):
            holder = str(self._client.get(self._key))
            if holder != self._name and not _gone(holder):
                raise FleetError(
                    f"Another local fleet ({holder}) uses the Redis server at {self._address}: "
                    "wait until it ends, or give one of them another FLEET_REDIS_URL."
                )
            self._client.set(self._key, self._name, px=milliseconds)
        self._held = now

    def release(self) -> None:
        """Let go of the server."""
        if self._held is not None:
            self._client.delete(self._key)


def _gone(holder: str) -> bool:
    """Whether the run of that name was one of this machine's and is no more."""
    pid, _, host = holder.removeprefix("pid ").partition(" on ")
    if host != socket.gethostname() or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
