"""The threads that listen to a cluster, and what they tell: all of them on one queue.

What a thread cannot mend by itself it tells, once, until it is mended.
"""

import queue
import threading

import msgspec

from app.client.news import Line
from app.cluster.objects import Deployment, Kind, Node, Pod
from app.errors import FleetError

PAUSES = (0.2, 1.0, 2.0, 5.0)
END_SECONDS = 5.0


class Listed(msgspec.Struct, frozen=True):
    """All objects of a kind; what is not among them is gone."""

    kind: Kind
    objects: list[Deployment | Pod | Node]


class Changed(msgspec.Struct, frozen=True):
    """An object that is new or has changed."""

    one: Deployment | Pod | Node


class Removed(msgspec.Struct, frozen=True):
    """An object that is gone; as it was last."""

    kind: Kind
    one: Deployment | Pod | Node


class Broken(msgspec.Struct, frozen=True):
    """A stream is interrupted; `message` is a sentence, empty once it goes on."""

    source: str
    message: str


class Failed(msgspec.Struct, frozen=True):
    """A stream that nothing will mend."""

    error: FleetError


Message = Listed | Changed | Removed | Broken | Failed | Line
Messages = queue.SimpleQueue[Message]


class Listener(threading.Thread):
    """A thread that listens until it is told to end.

    Args:
        name: What it listens to.
        messages: Where it puts what it hears.
    """

    def __init__(self, name: str, messages: Messages) -> None:
        super().__init__(name=name, daemon=True)
        self._messages = messages
        self._ended = threading.Event()
        self._tries = 0
        self._said = ""

    def end(self) -> None:
        """Tell it to end; it does so at once."""
        self._ended.set()

    def _broken(self, message: str) -> None:
        """Say what is broken, where that is new, and wait: longer each time."""
        if message != self._said:
            self._said = message
            self._messages.put(Broken(self.name, message))
        pause = PAUSES[min(self._tries, len(PAUSES) - 1)]
        self._tries += 1
        self._ended.wait(pause)

    def _mended(self) -> None:
        self._tries = 0
        if self._said:
            self._said = ""
            self._messages.put(Broken(self.name, ""))
