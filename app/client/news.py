"""The lines of `fleet status --follow --json`: one line of JSON per second, for programs that watch a remote fleet.

A line is `News`, or `Away` while the fleet's server does not answer; its field `kind` is "news" or "away". Times are
seconds since the epoch: `time` by the clock of the printing process, those of documents by the workers' clocks.
"""

import msgspec

from app.errors import FleetError
from app.report.timeline import DocumentRecord


class QueueNews(msgspec.Struct, frozen=True, kw_only=True):
    """One queue at one moment."""

    waiting: int
    running: int
    done: int
    """Documents that have passed through it since the ledger was created."""
    oldest_wait_seconds: float = 0.0


class BatchNews(msgspec.Struct, frozen=True, kw_only=True):
    """The counts of a batch that is open, or was open in the previous line."""

    batch_id: str
    total: int
    settled: int
    failed: int
    """Failed or quarantined."""
    duplicates: int = 0
    """Repeated settlements, which changed nothing."""


class News(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="news"):
    """A fleet at one moment, and the documents settled since the previous line."""

    time: float
    queues: dict[str, QueueNews]
    batches: list[BatchNews] = []
    open: int = 0
    """Documents of `batches` that are not settled."""
    settled: int = 0
    """Documents reported so far."""
    failed: dict[str, int] = {}
    """Those of them that did not succeed, by error code."""
    documents: list[DocumentRecord] = []
    """Settled since the previous line."""
    more: bool = False
    """Whether further documents are settled already; the next line follows at once and reports them."""
    missed: bool = False
    """Whether settled documents are in no line, because the ledger had dropped their events before they were read."""
    position: str = ""
    """Where another `fleet status --follow --since` goes on after this line; empty for a single batch."""


class Away(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="away"):
    """The fleet's server does not answer; the next `News` reports every document settled meanwhile."""

    time: float
    message: str


Line = News | Away
_decoder: msgspec.json.Decoder[Line] = msgspec.json.Decoder(Line)


def encode(line: Line) -> bytes:
    """Return a line of JSON with its line end."""
    return msgspec.json.encode(line) + b"\n"


def decode(line: bytes) -> Line:
    """Return the line that `encode` made.

    Raises:
        FleetError: it is not such a line.
    """
    try:
        return _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise FleetError(
            f"{line[:80]!r} is not a line of `fleet status --follow --json`: {error}."
        ) from error
