"""The tail of the ledger: the documents that were settled since the previous poll, and their batches."""

from dataclasses import dataclass

import msgspec

from app.ledger.models import BatchCounts, Document
from app.ledger.reader import Reader
from app.ledger.record import MICRO, decode_batch

MOST_BATCHES = 1_000
"""Batches examined at the start, the newest first."""
PAGE = 2_000
"""Documents reported in one poll, over all batches."""
OVERLAP_SECONDS = 60.0
"""Difference between the clocks of two submitters up to which the tail misses no new batch."""
SKEW_SECONDS = 5.0
"""Difference between the workers' clocks and that of `since` up to which the tail misses no document."""


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one poll."""

    batches: list[BatchCounts]
    """The followed batches; a finished one is in one more poll."""
    documents: list[Document | None]
    """Documents settled since the previous poll; None for one whose entry has expired meanwhile."""
    more: bool
    """Whether the next poll may report further documents at once."""


@dataclass
class _Followed:
    """A batch, and the reported part of its list of settled documents."""

    reported: int = 0
    trimmed: int = 0
    """Ids that are no longer in the list; `reported` counts them too."""
    counts: BatchCounts | None = None


class Tail:
    """Polls the ledger for newly settled documents, with two or three round trips to the server per poll.

    It follows a batch while that has open documents, or quarantined ones that may be retried. A document that leaves
    the quarantine and is settled a second time between two polls is reported once.

    Args:
        reader: Reads the ledger.
        batch_id: The only batch to follow, from its first document on; None: all documents settled from now on.
        since: With no batch_id, all documents settled from this time on, in seconds since the epoch; as clocks differ,
            also those settled up to 5 s before it.
    """

    def __init__(self, reader: Reader, batch_id: str | None = None, *, since: float | None = None) -> None:
        self.reader = reader
        self._only = batch_id
        self._from = since
        self._followed: dict[str, _Followed] = {}
        self._recent: dict[str, tuple[float, _Followed]] = {}
        """The batches of the last minute, each with the time at which its last document was opened."""
        self._since: float | None = None
        if batch_id is not None:
            self._followed[batch_id] = _Followed()

    def poll(self) -> Settled:
        """Return the documents settled since the previous poll.

        Raises:
            ServerError: the server does not answer; the next poll reports these documents too.
        """
        if self._only is None and self._since is None:
            self._begin()
        fresh, emptied = self._read()
        ids = [document_id for found in fresh.values() for document_id in found]
        documents = self.reader.documents(ids) if ids else []
        # Nothing can fail from here on, so these documents count as reported.
        for batch_id, found in fresh.items():
            self._followed[batch_id].reported += len(found)
        batches = [followed.counts for followed in self._followed.values() if followed.counts]
        more = any(len(found) >= self._page for found in fresh.values())
        if self._only is None:
            for batch_id in emptied:
                del self._followed[batch_id]
        return Settled(batches=batches, documents=documents, more=more)

    @property
    def _page(self) -> int:
        return max(10, PAGE // max(len(self._followed), 1))

    def _begin(self) -> None:
        """Find the open batches, and count their settled documents as reported."""
        client, keys = self.reader.client, self.reader.keys
        listed = client.zrange(keys.batches, 0, MOST_BATCHES - 1, desc=True, withscores=True)
        with client.pipeline(transaction=False) as pipe:
            for batch_id, _ in listed:
                pipe.hgetall(keys.batch(batch_id))
                pipe.llen(keys.settled(batch_id))
            replies = pipe.execute()
        newest = max((score for _, score in listed), default=0.0)
        for position, (batch_id, score) in enumerate(listed):
            fields, settled = replies[2 * position : 2 * position + 2]
            trimmed = _trimmed(fields)
            known = _Followed(trimmed + settled, trimmed, decode_batch(batch_id, fields))
            if self._from is not None:
                self._go_back(batch_id, known, self._from - SKEW_SECONDS)
            if score >= newest - OVERLAP_SECONDS * MICRO:
                self._recent[batch_id] = (score, known)
            if known.reported < trimmed + settled or not _over(known):
                self._followed[batch_id] = known
        self._since = newest

    def _go_back(self, batch_id: str, followed: _Followed, since: float) -> None:
        """Count the documents settled from `since` on as not reported."""
        client, keys = self.reader.client, self.reader.keys
        if followed.counts is not None and (followed.counts.finished or since) < since:
            return
        trimmed = followed.trimmed
        while followed.reported > trimmed:
            start = max(trimmed, followed.reported - PAGE)
            ids = client.lrange(keys.settled(batch_id), start - trimmed, followed.reported - trimmed - 1)
            with client.pipeline(transaction=False) as pipe:
                for document_id in ids:
                    pipe.hget(keys.document(document_id), "f")
                times = pipe.execute()
            before = [place for place, at in enumerate(times) if at is None or int(at) < since * MICRO]
            followed.reported = start + before[-1] + 1 if before else start
            if before:
                return

    def _read(self) -> tuple[dict[str, list[str]], list[str]]:
        """Return each batch's unreported documents, and the finished batches without any."""
        client, keys, page = self.reader.client, self.reader.keys, self._page
        with client.pipeline(transaction=False) as pipe:
            for batch_id, followed in self._followed.items():
                pipe.hgetall(keys.batch(batch_id))
                first = followed.reported - followed.trimmed
                pipe.lrange(keys.settled(batch_id), first, first + page - 1)
            if self._since is not None:
                oldest = self._since - OVERLAP_SECONDS * MICRO
                pipe.zrange(keys.batches, oldest, "+inf", byscore=True, withscores=True)
            replies = pipe.execute()
        fresh, emptied = {}, []
        for position, (batch_id, followed) in enumerate(self._followed.items()):
            fields, found = replies[2 * position : 2 * position + 2]
            followed.counts = decode_batch(batch_id, fields)
            if (trimmed := _trimmed(fields)) != followed.trimmed:
                followed.trimmed, followed.reported = trimmed, max(trimmed, followed.reported)
                first = followed.reported - trimmed
                found = client.lrange(keys.settled(batch_id), first, first + page - 1)
            fresh[batch_id] = found
            if _over(followed) and not found:
                emptied.append(batch_id)
        if self._since is not None:
            self._take_new(replies[-1])
        return fresh, emptied

    def _take_new(self, listed: list[tuple[str, float]]) -> None:
        """Follow the new batches, and the known ones in which documents were opened since the previous poll."""
        recent: dict[str, tuple[float, _Followed]] = {}
        for batch_id, score in listed:
            before, known = self._recent.get(batch_id, (None, self._followed.get(batch_id) or _Followed()))
            recent[batch_id] = (score, known)
            if before != score:
                self._followed.setdefault(batch_id, known)
        self._since = max((score for _, score in listed), default=self._since)
        self._recent = recent


def _trimmed(fields: dict[str, str]) -> int:
    """Return how many ids retention has removed from the head of a batch's list."""
    return int(fields.get("trimmed", 0))


def _over(followed: _Followed) -> bool:
    counts = followed.counts
    return counts is not None and (not counts.total or (counts.done and not counts.quarantined))
