"""The heartbeat file of a process; a liveness probe checks its age.

A process that waits for a server that is away lives, and a restart would not bring the server back: the code that waits
beats between its tries. A process whose main thread hangs must fall silent: no thread beats for another.
"""

import threading
from pathlib import Path
from typing import ClassVar


class Heartbeat:
    """A file that a process creates when it starts to work, and touches while it works or waits for a server.

    Only the thread that began it touches it; calls from other threads have no effect.

    Args:
        name: Path of the file; empty for no heartbeat.
    """

    begun: ClassVar["Heartbeat | None"] = None
    """The heartbeat of this process, once it has begun."""

    def __init__(self, name: str) -> None:
        self._path = Path(name) if name else None
        self._thread: int | None = None

    def begin(self) -> None:
        """Create the file."""
        self._thread = threading.get_ident()
        Heartbeat.begun = self
        self.beat()

    def beat(self) -> None:
        """Touch the file, if this thread called `begin`."""
        if self._path is not None and self._thread == threading.get_ident():
            self._path.touch()


def begin(name: str) -> None:
    """Create the file `name` for a process that waits for a server at its start, unless its heartbeat has begun."""
    if Heartbeat.begun is None:
        Heartbeat(name).begin()


def beat() -> None:
    """Touch the heartbeat file of this process, if it has begun one: its main thread waits for a server."""
    if Heartbeat.begun is not None:
        Heartbeat.begun.beat()
