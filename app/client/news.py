"""What `fleet status --follow --json` prints: a line of JSON a second, for whoever watches a fleet from elsewhere.

A line is `News`, or `Away` while the fleet's server does not answer; `kind` says which. Times are seconds since
the epoch: `time` by the clock of whoever prints, those of documents by the clocks of the workers.
"""

import msgspec

from app.errors import FleetError
from app.report.timeline import DocumentRecord


class QueueNews(msgspec.Struct, frozen=True, kw_only=True):
    """One queue at one moment."""

    waiting: int
    running: int
    done: int
    """Documents that have passed through it since the ledger began."""
    oldest_wait_seconds: float = 0.0


class BatchNews(msgspec.Struct, frozen=True, kw_only=True):
    """The counts of a batch that is open, or was when the line before was printed."""

    batch_id: str
    total: int
    settled: int
    failed: int
    """Failed or quarantined."""
    duplicates: int = 0
    """Settlements that came a second time and changed nothing."""


class News(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="news"):
    """A fleet at one moment, and what was settled since the line before."""

    time: float
    queues: dict[str, QueueNews]
    batches: list[BatchNews] = []
    open: int = 0
    """Documents of the batches above that are not settled yet."""
    settled: int = 0
    """Documents told of so far."""
    failed: dict[str, int] = {}
    """Those of them that did not succeed, by code of the error."""
    documents: list[DocumentRecord] = []
    """Settled since the line before."""
    more: bool = False
    """Whether further documents are settled already: they are in the next line, which comes at once."""


class Away(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="away"):
    """The fleet's server does not answer; `News` goes on where it stopped once it does."""

    time: float
    message: str


Line = News | Away
_decoder: msgspec.json.Decoder[Line] = msgspec.json.Decoder(Line)


def encode(line: Line) -> bytes:
    """Return a line, with its end."""
    return msgspec.json.encode(line) + b"\n"


def decode(line: bytes) -> Line:
    """Read a line.

    Raises:
        FleetError: it is none of ours.
    """
    try:
        return _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise FleetError(f"{line[:80]!r} is no line of `fleet status --follow --json`: {error}.") from error
