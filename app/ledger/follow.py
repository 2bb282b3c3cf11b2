"""Followers of the ledger: the documents that were settled since the previous poll, and the counts of their batches."""

import msgspec

from app.ledger.events import PAGE, Kind, last_position, read_events
from app.ledger.models import BatchCounts, Document
from app.ledger.reader import Reader
from app.ledger.record import decode_batch

MOST_BATCHES = 1_000
"""Batches examined at the start, the newest first."""
SETTLED = {Kind.SETTLED, Kind.QUARANTINED}


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one poll."""

    batches: list[BatchCounts]
    """The followed batches; a finished one is in one more poll."""
    documents: list[Document]
    """Documents settled since the previous poll."""
    more: bool = False
    """Whether the next poll may report further documents at once."""
    missed: bool = False
    """Whether documents are not reported because the follower came too late for them."""
    position: str = ""
    """Position in the stream of events from which another `FleetFollower` can go on."""


class BatchFollower:
    """Polls the ledger for the settled documents of one batch, from the first on; one or two round trips a poll.

    Args:
        reader: Reads the ledger.
        batch_id: The batch; its counts are all zero while there is none.
    """

    def __init__(self, reader: Reader, batch_id: str) -> None:
        self._reader = reader
        self._batch_id = batch_id
        self._reported = 0
        """Place in the batch's list of settled documents, counted from the first that was ever in it."""
        self._trimmed = 0
        """How many of them were no longer in the list in the previous poll."""
        self._counts: BatchCounts | None = None
        """The last that were known: a finished batch leaves the ledger for the archive."""
        self._opened: str | None = None
        """When the batch was opened: one that has left the ledger and is opened again begins anew."""

    def poll(self) -> Settled:
        """Return the documents settled since the previous poll.

        Raises:
            ServerError: the server does not answer; the next poll reports these documents too.
        """
        fields, ids = self._read()
        # The places read are right only if the list still begins where this follower thinks.
        while (place := (fields.get("opened"), int(fields.get("trimmed", 0)))) != (
            self._opened,
            self._trimmed,
        ):
            self._reported = self._reported if place[0] == self._opened else 0
            self._opened, self._trimmed = place
            fields, ids = self._read()
        missed = self._trimmed > self._reported
        documents = _final(self._reader, ids)
        self._reported = max(self._reported, self._trimmed) + len(ids)
        if fields or self._counts is None:
            self._counts = decode_batch(self._batch_id, fields)
        return Settled(batches=[self._counts], documents=documents, more=len(ids) == PAGE, missed=missed)

    def _read(self) -> tuple[dict[str, str], list[str]]:
        keys = self._reader.keys
        first = max(0, self._reported - self._trimmed)
        # In one transaction, as the archive trims the list and counts that in one step.
        with self._reader.client.pipeline() as pipe:
            pipe.hgetall(keys.batch(self._batch_id))
            pipe.lrange(keys.settled(self._batch_id), first, first + PAGE - 1)
            fields, ids = pipe.execute()
        return fields, ids


class FleetFollower:
    """Polls the ledger's events for settled documents of all batches, with three round trips a poll.

    Args:
        reader: Reads the ledger.
        after: Position in the stream of events; None: from now on.
    """

    def __init__(self, reader: Reader, after: str | None = None) -> None:
        self._reader = reader
        self._after = after
        self._followed: set[str] | None = None
        """Batches with open documents, or with events in the previous poll."""

    def poll(self) -> Settled:
        """Return the documents settled since the previous poll.

        Raises:
            ServerError: the server does not answer; the next poll reports these documents too.
        """
        if self._after is None:
            self._after = last_position(self._reader)
        if self._followed is None:
            self._followed = set(self._reader.batches()[:MOST_BATCHES])
        page = read_events(self._reader, self._after, most=PAGE)
        ids = dict.fromkeys(event.subject for event in page.events if event.kind in SETTLED)
        documents = _final(self._reader, list(ids))
        touched = {event.subject for event in page.events if event.kind is Kind.OPENED}
        touched |= {document.batch for document in documents}
        batches = [
            counts
            for counts in self._reader.counts(self._followed | touched)
            if not counts.done or counts.batch_id in touched
        ]
        # Nothing can fail from here on, so these documents count as reported.
        self._after = page.position
        self._followed = {counts.batch_id for counts in batches if counts.total}
        return Settled(
            batches=batches, documents=documents, more=page.more, missed=page.missed, position=page.position
        )


def _final(reader: Reader, ids: list[str]) -> list[Document]:
    """Return the entries of settled documents; one that was sent again meanwhile is reported when it is settled."""
    documents = reader.documents(ids) if ids else []
    return [document for document in documents if document is not None and document.state.final]
