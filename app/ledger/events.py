"""The ledger's events: a stream of what happens to documents, of which the ledger keeps the latest.

The step that opens documents writes one event for each chunk; the steps that advance, settle, quarantine or retry a
document write one each. The ledger keeps about `events_kept` of them, so a reader that stayed away for longer misses
some, and is told so. What must not be missed does not depend on events.
"""

from enum import StrEnum
from typing import Any

import msgspec
from redis.exceptions import ResponseError

from app.ledger.reader import Reader

PAGE = 2_000
"""Most events of one page."""
START = "0-0"
"""The position before the first event."""


class Kind(StrEnum):
    """What happened."""

    OPENED = "opened"
    """Documents were opened in a batch."""
    ADVANCED = "advanced"
    """A document moved to its next queue."""
    SETTLED = "settled"
    """A document succeeded or failed."""
    RETRIED = "retried"
    """A document pauses before a retry."""
    QUARANTINED = "quarantined"
    """A document was quarantined."""


class LedgerEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One event."""

    kind: Kind
    subject: str
    """Id of the document; of the batch if documents were opened."""
    documents: int = 1


class EventPage(msgspec.Struct, frozen=True, kw_only=True):
    """The events after a position."""

    events: list[LedgerEvent]
    position: str
    """The position after these events."""
    missed: bool
    """Whether the ledger has dropped events after the position that was asked for."""
    more: bool
    """Whether further events follow at once."""


def position_at(seconds: float) -> str:
    """Return the position at a time in seconds since the epoch, by the server's clock."""
    return f"{max(0, int(seconds * 1_000))}-0"


def last_position(reader: Reader) -> str:
    """Return the position after the latest event.

    Raises:
        ServerError: the server does not answer.
    """
    latest = reader.client.xrevrange(reader.keys.events, count=1)
    return str(latest[0][0]) if latest else START


def read_events(reader: Reader, after: str, *, most: int = PAGE) -> EventPage:
    """Return the events after a position, oldest first.

    Args:
        reader: Reads the ledger.
        after: A position: `START`, or that of an earlier page.
        most: Most events of the page.

    Raises:
        ServerError: the server does not answer.
    """
    key = reader.keys.events
    with reader.client.pipeline() as pipe:
        pipe.xrange(key, f"({after}", count=most)
        pipe.xinfo_stream(key)
        found, about = pipe.execute(raise_on_error=False)
    if isinstance(about, ResponseError) and "no such key" in str(about):
        return EventPage(events=[], position=after, missed=False, more=False)
    for reply in (found, about):
        if isinstance(reply, Exception):
            raise reply
    trimmed = about["entries-added"] > about["length"]
    return EventPage(
        events=[_event(fields) for _, fields in found],
        position=found[-1][0] if found else after,
        missed=trimmed and _place(after) < _place(about["first-entry"][0]),
        more=len(found) == most,
    )


def _place(position: str) -> tuple[int, int]:
    """Return a position as numbers, in the order of the stream."""
    milliseconds, _, number = position.partition("-")
    return int(milliseconds), int(number)


def _event(fields: dict[str, Any]) -> LedgerEvent:
    kind, subject = next(iter(fields.items()))
    return LedgerEvent(kind=Kind(kind), subject=subject, documents=int(fields.get("n", 1)))
