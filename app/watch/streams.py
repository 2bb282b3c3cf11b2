"""The threads that listen to a cluster: a watch for each kind of object, and what the fleet tells of itself.

Each puts what it hears on one queue. A stream that breaks is taken up again where it was; what a thread cannot
mend by itself it tells, once, until it is mended.
"""

import queue
import threading
from collections.abc import Callable
from typing import Any

import msgspec
from kubernetes import watch
from kubernetes.client.exceptions import ApiException
from kubernetes.stream.ws_client import ERROR_CHANNEL
from urllib3.exceptions import ReadTimeoutError

from app.errors import FleetError
from app.scaling.news import Line, News, decode
from app.watch.api import CONNECT_SECONDS
from app.watch.cluster import CONNECTION_ERRORS, GONE, Cluster, handshake_refused
from app.watch.objects import Deployment, Kind, Node, Pod, read

WATCH_SECONDS = 50
"""The server ends a watch after this long, and it is asked for anew: so a connection that died is noticed."""
SILENCE_SECONDS = 30.0
"""The fleet tells something every second: after this long without a word the connection is made anew."""
PAUSES = (0.2, 1.0, 2.0, 5.0)
COMMAND = ["fleet", "status", "--follow", "--json", "--until-eof"]
USAGE_EXIT = 2
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


class NewsListener(Listener):
    """Runs `fleet status --follow --json` in the beat pod, in whichever is there.

    Args:
        cluster: Where.
        messages: Where it puts the lines.
    """

    def __init__(self, cluster: Cluster, messages: Messages) -> None:
        super().__init__("news", messages)
        self._cluster = cluster
        self._heard = False
        self._told_at: float | None = None

    def run(self) -> None:
        """Listen until the end, in one pod after the other."""
        while not self._ended.is_set():
            try:
                place = self._cluster.beat_pod()
                if place is None:
                    self._broken("No beat pod is ready: what the queues hold is not known meanwhile.")
                    continue
                last_words, code = self._listen(*place)
            except CONNECTION_ERRORS as error:
                sentence = self._cluster.sentence(
                    error, f"exec into the beat pod of namespace {self._cluster.namespace}"
                )
                if handshake_refused(error) and not self._heard:
                    self._messages.put(Failed(FleetError(sentence)))
                    return
                self._broken(sentence)
                continue
            if self._ended.is_set():
                return
            words = last_words.removeprefix("Error: ").rstrip(".") or f"exit {code}"
            sentence = f"`fleet status --follow` in pod {place[0]} ended ({words})."
            if code == USAGE_EXIT and not self._heard:
                self._messages.put(Failed(FleetError(sentence)))
                return
            self._broken(sentence)

    def _listen(self, pod: str, container: str) -> tuple[str, int | None]:
        """Hand on what is told in a pod; return its last words of another kind, and its exit code."""
        since = () if self._told_at is None else ("--since", f"{self._told_at:.3f}")
        # Its input is open: the end of that is how the command learns that we are gone.
        connection = self._cluster.exec(pod, container, [*COMMAND, *since])
        lines = Lines(self._take)
        silent, status = 0.0, b""
        try:
            while connection.is_open() and not self._ended.is_set() and silent < SILENCE_SECONDS:
                connection.update(timeout=0.5)
                status = connection.peek_channel(ERROR_CHANNEL) or status
                # All there is of both outputs; the client keeps nothing of it then, however long it listens.
                said = connection.read_all()
                silent = 0.0 if said else silent + 0.5
                lines.add(said)
        finally:
            connection.close()
        if silent >= SILENCE_SECONDS:
            return f"it said nothing for {SILENCE_SECONDS:g} s", None
        return lines.last_words, exit_code(status)

    def _take(self, line: Line) -> None:
        self._heard = True
        if isinstance(line, News):
            self._told_at = line.time
        self._mended()
        self._messages.put(line)


class Lines:
    """Puts lines together from the pieces in which they come.

    Args:
        on_line: Told each line of news.
    """

    def __init__(self, on_line: Callable[[Line], None]) -> None:
        self.last_words = ""
        """The last line that was no news: what the command said went wrong."""
        self._on_line = on_line
        self._rest = b""

    def add(self, piece: bytes) -> None:
        """Take in a piece."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            try:
                news = decode(line)
            except FleetError:
                words = line.decode(errors="replace").strip("│ \r\t")
                if any(character.isalnum() for character in words):  # no frame of a box
                    self.last_words = words
            else:
                self._on_line(news)


class _Cause(msgspec.Struct):
    reason: str = ""
    message: str = ""


class _Details(msgspec.Struct):
    causes: list[_Cause] = []


class _Status(msgspec.Struct):
    status: str = ""
    details: _Details | None = None


def exit_code(status: bytes) -> int | None:
    """Return the exit code that the last message of an exec tells; None where it tells none."""
    try:
        told = msgspec.json.decode(status, type=_Status)
    except msgspec.DecodeError:
        return None
    if told.status == "Success":
        return 0
    codes = [cause.message for cause in (told.details or _Details()).causes if cause.reason == "ExitCode"]
    return int(codes[0]) if codes and codes[0].isdecimal() else None
