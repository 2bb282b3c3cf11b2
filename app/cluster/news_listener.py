"""What the fleet tells of itself, heard through an exec into its beat pod."""

from collections.abc import Callable

import msgspec
from kubernetes.stream.ws_client import ERROR_CHANNEL

from app.client.news import Line, News, decode
from app.cluster.cluster import CONNECTION_ERRORS, Cluster, handshake_refused
from app.cluster.listener import Failed, Listener, Messages
from app.errors import FleetError

SILENCE_SECONDS = 30.0
"""The fleet tells something every second: after this long without a word the connection is made anew."""
COMMAND = ["fleet", "status", "--follow", "--json", "--until-eof"]
USAGE_EXIT = 2


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
