"""News of the fleet itself, read through an exec into its beat pod."""

from collections.abc import Callable
from typing import Any

from kubernetes.stream.ws_client import STDERR_CHANNEL, STDOUT_CHANNEL

from app.client.news import Line, News, decode
from app.cluster.cluster import CONNECTION_ERRORS, Cluster, handshake_refused
from app.cluster.listener import Failed, Listener, Messages
from app.errors import ExitCode, FleetError

SILENCE_SECONDS = 30.0
"""The fleet sends a line every second: after this long without output the connection is recreated."""
COMMAND = ["fleet", "status", "--follow", "--json", "--until-eof"]


class NewsListener(Listener):
    """Runs `fleet status --follow --json` in the beat pod, and in its successor once it is gone.

    Args:
        cluster: The cluster.
        messages: Queue for the lines.
    """

    def __init__(self, cluster: Cluster, messages: Messages) -> None:
        super().__init__("news", messages)
        self._cluster = cluster
        self._had_news = False
        self._position = ""

    def run(self) -> None:
        """Listen until stopped, in one pod after the other."""
        while not self._stopped.is_set():
            try:
                place = self._cluster.beat_pod()
                if place is None:
                    self._interrupted("No beat pod is ready: the queues cannot be read until one is.")
                    continue
                last_words, code = self._listen(*place)
            except CONNECTION_ERRORS as error:
                sentence = self._cluster.sentence(
                    error, f"exec into the beat pod of namespace {self._cluster.namespace}"
                )
                final = handshake_refused(error)
            else:
                reason = last_words.removeprefix("Error: ").rstrip(".") or f"exit {code}"
                sentence = f"`fleet status --follow` in pod {place[0]} ended ({reason})."
                final = code == ExitCode.USAGE_ERROR
            if self._stopped.is_set():
                return
            if final and not self._had_news:
                self._messages.put(Failed(FleetError(sentence)))
                return
            self._interrupted(sentence)

    def _listen(self, pod: str, container: str) -> tuple[str, int | None]:
        """Forward the news of a pod; return the last line that was no news, and the exit code of the command."""
        since = ("--since", self._position) if self._position else ()
        # Standard input stays open: the command exits when it is closed, that is when this process is gone.
        connection = self._cluster.exec(pod, container, [*COMMAND, *since])
        lines = Lines(self._forward)
        silent = 0.0
        try:
            while connection.is_open() and not self._stopped.is_set() and silent < SILENCE_SECONDS:
                connection.update(timeout=0.5)
                output = _output(connection)
                silent = 0.0 if output else silent + 0.5
                lines.add(output)
            lines.add(_output(connection))  # output that arrived together with the end of the connection
        finally:
            connection.close()
        if silent >= SILENCE_SECONDS:
            return f"no output for {SILENCE_SECONDS:g} s", None
        return lines.last_words, exit_code(connection)

    def _forward(self, line: Line) -> None:
        self._had_news = True
        if isinstance(line, News):
            self._position = line.position
        self._recovered()
        self._messages.put(line)


class Lines:
    """Splits the output of a command, which arrives in pieces, into lines.

    Args:
        on_line: Called with each line of news.
    """

    def __init__(self, on_line: Callable[[Line], None]) -> None:
        self.last_words = ""
        """Last line that was no news: the error message of the command."""
        self._on_line = on_line
        self._rest = b""

    def add(self, piece: bytes) -> None:
        """Add a piece of output."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            try:
                news = decode(line)
            except FleetError:
                words = line.decode(errors="replace").strip("│ \r\t")
                if any(character.isalnum() for character in words):  # not the frame of a box
                    self.last_words = words
            else:
                self._on_line(news)


def exit_code(connection: Any) -> int | None:
    """Return the exit code of the command of a connection that is closed; None if the cluster did not send it."""
    try:
        code: int = connection.returncode
    except Exception:  # the client's parser raises many types if the status is missing or has no code
        return None
    return code


def _output(connection: Any) -> bytes:
    # Older clients return "" for a channel without data, even in binary mode.
    return b"".join(connection.read_channel(channel) or b"" for channel in (STDOUT_CHANNEL, STDERR_CHANNEL))
