"""The ledger's queries: documents, batches, queues and the quarantine."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from app.ledger.keys import Keys
from app.ledger.models import BatchCounts, Document, QueueDepth
from app.queues import Queue

if TYPE_CHECKING:
    from redis import Redis


class Reader:
    """Queries about documents, batches and queues; safe to use from several threads.

    All times are seconds since the epoch, by the clock of the caller. Every method raises a `ServerError` if the
    server does not answer within the client's retries.
    """

    def __init__(self, client: "Redis", keys: Keys, clock: Callable[[], float] = time.time) -> None:
        # By redis-py's types a reply may be bytes; with decode_responses it is a str.
        self.client: Any = client
        self.keys = keys
        self.clock = clock

    def quarantined(self) -> list[str]:
        """Return the ids of the quarantined documents, oldest first."""
        return list(self.client.zrange(self.keys.quarantine, 0, -1))

    def documents(self, document_ids: Sequence[str]) -> list[Document | None]:
        """Return the entry of each document; None for one that the ledger does not know."""
        with self.client.pipeline(transaction=False) as pipe:
            for document_id in document_ids:
                pipe.hgetall(self.keys.document(document_id))
            found = pipe.execute()
        return [
            decode_document(document_id, fields) if fields.get("batch") else None
            for document_id, fields in zip(document_ids, found, strict=True)
        ]

    def document(self, document_id: str) -> Document | None:
        """Return the entry of one document; None if the ledger does not know it."""
        return self.documents([document_id])[0]

    def batches(self) -> list[str]:
        """Return the ids of the known batches, newest first, and remove expired ones from their index."""
        listed = list(self.client.zrange(self.keys.batches, 0, -1, desc=True))
        with self.client.pipeline(transaction=False) as pipe:
            for batch_id in listed:
                pipe.exists(self.keys.batch(batch_id))
            known = pipe.execute()
        expired = [batch_id for batch_id, there in zip(listed, known, strict=True) if not there]
        if expired:
            self.client.zrem(self.keys.batches, *expired)
        return [batch_id for batch_id, there in zip(listed, known, strict=True) if there]

    def batch(self, batch_id: str) -> BatchCounts:
        """Return a batch's counts; all zero for an unknown batch."""
        return decode_batch(batch_id, self.client.hgetall(self.keys.batch(batch_id)))

    def batch_documents(self, batch_id: str) -> list[str]:
        """Return the ids of a batch's documents, in the order they were opened."""
        return list(self.client.lrange(self.keys.batch_documents(batch_id), 0, -1))

    def settled(self, batch_id: str, start: int = 0) -> list[str]:
        """Return the ids of a batch's settled documents from the `start`-th on, in the order of settling."""
        return list(self.client.lrange(self.keys.settled(batch_id), start, -1))

    def depths(self, queues: Iterable[Queue]) -> dict[Queue, QueueDepth]:
        """Return the work of each queue, in one round trip: KEDA's two measurements, and the ledger's own."""
        names = list(queues)
        with self.client.pipeline(transaction=False) as pipe:
            for queue in names:
                pipe.llen(str(queue))
                pipe.hlen(self.keys.inflight(queue))
                pipe.hget(self.keys.counts, str(queue))
                pipe.zrange(self.keys.open(queue), 0, 0, withscores=True)
            replies = pipe.execute()
        now = self.clock()
        depths = {}
        for position, queue in enumerate(names):
            waiting, inflight, done, oldest = replies[4 * position : 4 * position + 4]
            age = max(0.0, now - oldest[0][1]) if oldest else 0.0
            depths[queue] = QueueDepth(
                waiting=waiting, inflight=inflight, done=int(done or 0), oldest_wait_seconds=age
            )
        return depths


def decode_document(document_id: str, fields: dict[str, str]) -> Document:
    """Decode a document from the strings of its hash."""
    given: dict[str, Any] = {name: value for name, value in fields.items() if value != ""}
    given["document_id"] = document_id
    for name in ("options", "results"):
        if name in given:
            given[name] = msgspec.json.decode(given[name])
    if "summary" in given:
        given["summary"] = msgspec.Raw(given["summary"].encode())
    return msgspec.convert(given, Document, strict=False)


def decode_batch(batch_id: str, fields: dict[str, str]) -> BatchCounts:
    """Decode a batch's counts from the strings of its hash."""
    errors = {
        name.removeprefix("error:"): int(count)
        for name, count in fields.items()
        if name.startswith("error:") and int(count)
    }
    known = {name: value for name, value in fields.items() if not name.startswith("error:")}
    return msgspec.convert({"batch_id": batch_id, "errors": errors, **known}, BatchCounts, strict=False)
