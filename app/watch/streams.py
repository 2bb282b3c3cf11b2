"""The threads that listen to a cluster: what they tell, and a watch for each kind of object.

Each puts what it hears on one queue. A stream that breaks is taken up again where it was; what a thread cannot
mend by itself it tells, once, until it is mended.
"""

import queue
import threading
from typing import Any

import msgspec
from kubernetes import watch
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import ReadTimeoutError

from app.errors import FleetError
from app.scaling.news import Line
from app.watch.api import CONNECT_SECONDS
from app.watch.cluster import CONNECTION_ERRORS, GONE, Cluster
from app.watch.objects import Deployment, Kind, Node, Pod, read

WATCH_SECONDS = 50
"""The server ends a watch after this long, and it is asked for anew: so a connection that died is noticed."""
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


class ObjectListener(Listener):
    """Watches all objects of a kind.

    Args:
        cluster: Where.
        kind: Which.
        version: From where on, as the list said that came before.
        messages: Where it puts what it hears.
    """

    def __init__(self, cluster: Cluster, kind: Kind, version: str, messages: Messages) -> None:
        super().__init__(f"{kind}s", messages)
        self._cluster = cluster
        self._kind = kind
        self._version = version
        new_watch: Any = watch.Watch  # says nothing of its types
        self._watch = new_watch(return_type="object")

    def end(self) -> None:
        """Tell it to end, and close its connection under it."""
        super().end()
        self._watch.stop()

    def run(self) -> None:
        """Watch until the end, whatever becomes of the connection."""
        while not self._ended.is_set():
            try:
                if not self._version:
                    objects, self._version = self._cluster.objects(self._kind)
                    self._messages.put(Listed(self._kind, objects))
                    self._mended()
                elif self._said:
                    self._cluster.ask_version()  # a watch on which nothing happens does not tell that it stands
                    self._mended()
                self._listen()
            except ReadTimeoutError:
                continue  # nothing came, not even the end: a connection that died
            except CONNECTION_ERRORS as error:
                if self._ended.is_set():
                    return
                if isinstance(error, ApiException) and error.status == GONE:
                    self._version = ""  # too old to go on from: list again
                self._broken(self._cluster.sentence(error, f"watch the {self._kind}s"))

    def _listen(self) -> None:
        path, query = self._cluster.listed(self._kind)
        for event in self._watch.stream(
            self._cluster.api.get,
            path,
            **query,
            resource_version=self._version,
            allow_watch_bookmarks=True,
            timeout_seconds=WATCH_SECONDS,
            _request_timeout=(CONNECT_SECONDS, WATCH_SECONDS + CONNECT_SECONDS),
        ):
            if self._ended.is_set():
                return
            self._mended()
            self._version = self._watch.resource_version or self._version
            if event["type"] == "BOOKMARK":
                continue
            one = read(self._kind, event["raw_object"])
            gone = event["type"] == "DELETED"
            self._messages.put(Removed(self._kind, one) if gone else Changed(one))
        self._mended()
