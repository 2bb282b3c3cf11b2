"""Threads that listen to a cluster, and the messages that they put on one queue.

A thread reconnects by itself; it reports an interruption once, and once more when it is over.
"""

import queue
import threading

import msgspec

from app.client.news import Line
from app.cluster.objects import Kind, Object
from app.errors import FleetError

PAUSES = (0.2, 1.0, 2.0, 5.0)
"""Seconds between attempts to reconnect; the last before every further one."""
STOP_SECONDS = 5.0
"""How long all threads together may take to stop."""


class Listed(msgspec.Struct, frozen=True):
    """Complete list of a kind: an object that is missing from it no longer exists."""

    kind: Kind
    objects: list[Object]


class Changed(msgspec.Struct, frozen=True):
    """A new or changed object."""

    item: Object


class Removed(msgspec.Struct, frozen=True):
    """A removed object in its last state."""

    kind: Kind
    item: Object


class Broken(msgspec.Struct, frozen=True):
    """A source is interrupted; `message` is a sentence, empty once the source works again."""

    source: str
    message: str


class Failed(msgspec.Struct, frozen=True):
    """A source cannot work at all."""

    error: FleetError


Message = Listed | Changed | Removed | Broken | Failed | Line
Messages = queue.SimpleQueue[Message]


class Listener(threading.Thread):
    """A thread that listens to one source until it is stopped.

    Args:
        name: Name of the source.
        messages: Queue for its messages.
    """

    def __init__(self, name: str, messages: Messages) -> None:
        super().__init__(name=name, daemon=True)
        self._messages = messages
        self._stopped = threading.Event()
        self._attempts = 0
        self._reported = ""

    def stop(self) -> None:
        """Stop listening, without waiting for the thread."""
        self._stopped.set()

    def _interrupted(self, message: str) -> None:
        """Report an interruption unless its message is the last one reported, then pause: longer each time."""
        if message != self._reported:
            self._reported = message
            self._messages.put(Broken(self.name, message))
        pause = PAUSES[min(self._attempts, len(PAUSES) - 1)]
        self._attempts += 1
        self._stopped.wait(pause)

    def _recovered(self) -> None:
        self._attempts = 0
        if self._reported:
            self._reported = ""
            self._messages.put(Broken(self.name, ""))
