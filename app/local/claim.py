"""Locks of a run: on the folder that it writes to, and on a Redis server that it did not start."""

import fcntl
import os
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from app.config import Settings
from app.errors import FleetError, ServerError
from app.ledger.connection import masked

HOLD_SECONDS = 30.0
"""Seconds after which the lock of a run that was killed on another machine expires."""


@contextmanager
def claimed(folder: Path, *, otherwise: str) -> Iterator[None]:
    """Lock `folder` for this run; the system unlocks it when the process ends, however it ends.

    Args:
        folder: The folder; created if it is missing.
        otherwise: The error's sentence if another run holds the lock.

    Raises:
        FleetError: another run holds the lock, or the folder cannot be created or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        # The folder itself is locked: a lock file would stay among its files.
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise FleetError(f"{folder} cannot be written: {error.strerror}.") from None
    try:
        # Some network file systems have no locks: the run then continues without one.
        with suppress(OSError):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise FleetError(otherwise) from None
        yield
    finally:
        os.close(descriptor)


class ServerClaim:
    """A lock on a server that the run did not start: two local fleets on it would start each other's documents.

    The lock's token is "pid N on HOST", so that whoever is refused reads who holds it.

    Args:
        client: The ledger's client.
        config: Names the server and the prefix of its keys.
    """

    def __init__(self, client: Any, config: Settings) -> None:
        self._client = client
        self._address = masked(config.redis_url)
        self._lock = client.lock(
            f"{config.key_prefix}local-fleet", timeout=HOLD_SECONDS, blocking=False, thread_local=False
        )
        self._token = f"pid {os.getpid()} on {socket.gethostname()}"
        self._renewed: float | None = None

    def hold(self) -> None:
        """Take or renew the lock; call it at least every `HOLD_SECONDS`.

        Raises:
            FleetError: another run holds the lock.
            ServerError: the server does not answer.
        """
        now = time.monotonic()
        if self._renewed is not None and now - self._renewed < HOLD_SECONDS / 3:
            return
        while not (self._renew() or self._lock.acquire(token=self._token)):
            holder = self._client.get(self._lock.name)
            if holder is None:
                continue  # it has expired since
            # Our own token without our lock: the reply to `acquire` was lost, and the client sent it twice.
            if holder != self._token and not _gone(holder):
                raise FleetError(
                    f"Another local fleet ({holder}) uses the Redis server at {self._address}: "
                    "wait until it ends, or give one of them another FLEET_REDIS_URL."
                )
            with suppress(ValueError):  # redis-py's LockError: another run was faster
                self._lock.do_release(holder)
        self._renewed = now

    def release(self) -> None:
        """Release the lock if this run holds it and the server answers; else it expires."""
        with suppress(ServerError, ValueError):  # ValueError: redis-py's LockError
            self._lock.release()

    def _renew(self) -> bool:
        try:
            return bool(self._lock.reacquire())
        except ValueError:  # redis-py's LockError: it was never acquired, or has expired
            return False


def _gone(holder: str) -> bool:
    """Return whether `holder` names a process of this machine that no longer exists."""
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
