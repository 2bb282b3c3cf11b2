"""The ledger's queries: documents, batches, queues and the quarantine."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from app.ledger.keys import Keys
from app.ledger.message import task_of
from app.ledger.models import BatchCounts, Document, QueueDepth, ServiceTimes
from app.ledger.record import SUMS, decode_batch, decode_document, decode_places, decode_times
from app.queues import DOCUMENT_TASKS, Queue

if TYPE_CHECKING:
    from redis import Redis

MOST_MESSAGES = 1_000
"""Messages of a queue in which `sent` looks for a task."""


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

    def quarantine_size(self) -> int:
        """Return the number of quarantined documents."""
        return int(self.client.zcard(self.keys.quarantine))

    def documents(self, document_ids: Sequence[str]) -> list[Document | None]:
        """Return the entry of each document; None for one that the ledger does not know."""
        with self.client.pipeline(transaction=False) as pipe:
            for document_id in document_ids:
                pipe.hgetall(self.keys.document(document_id))
            found = pipe.execute()
        return [
            decode_document(document_id, fields) if fields.get("b") else None
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
        return self.counts([batch_id])[0]

    def counts(self, batch_ids: Iterable[str]) -> list[BatchCounts]:
        """Return the counts of several batches, in one round trip."""
        names = list(batch_ids)
        with self.client.pipeline(transaction=False) as pipe:
            for batch_id in names:
                pipe.hgetall(self.keys.batch(batch_id))
            found = pipe.execute() if names else []
        return [decode_batch(batch_id, fields) for batch_id, fields in zip(names, found, strict=True)]

    def settled(self, batch_id: str, start: int = 0) -> list[str]:
        """Return the ids of a batch's settled documents from the `start`-th on, in the order of settling."""
        return list(self.client.lrange(self.keys.settled(batch_id), start, -1))

    def archived(self) -> int:
        """Return how many documents have left the ledger for the archive."""
        return int(self.client.hget(self.keys.counts, "archived") or 0)

    def settled_held(self) -> int:
        """Return how many settled documents the ledger holds: those that ended a pass for good and did not leave it."""
        with self.client.pipeline(transaction=False) as pipe:
            for queue in DOCUMENT_TASKS:
                self._get_places(pipe, queue)
            pipe.hmget(self.keys.counts, "continued", "archived")
            *services, gone = pipe.execute()
        passes = sum(sum(decode_places(places)[SUMS:]) for places in services)
        return passes - sum(int(count or 0) for count in gone)

    def settled_page(
        self, batch_id: str, position: int, trimmed: int, places: int
    ) -> tuple[int | None, int, list[str]]:
        """Return the ids at some places of a batch's list of settled documents, counted from the batch's beginning.

        Args:
            batch_id: The batch.
            position: The first place.
            trimmed: How many places have left the list, as far as the caller knows.
            places: The most places.

        Returns:
            The time at which the batch was opened (us; None for an unknown batch), how many places have left the list,
            and the ids; these are wrong if that number is not `trimmed`.
        """
        first = position - trimmed
        with self.client.pipeline() as pipe:
            pipe.hmget(self.keys.batch(batch_id), "opened", "trimmed")
            pipe.lrange(self.keys.settled(batch_id), first, first + places - 1)
            (opened, gone), ids = pipe.execute()
        return None if opened is None else int(opened), int(gone or 0), ids

    def sent(self, queue: Queue, task: str) -> bool:
        """Return whether a message of a plain task waits on its queue, or a worker has it."""
        workers = self.client.hkeys(self.keys.workers(queue))
        with self.client.pipeline(transaction=False) as pipe:
            for name in (str(queue), *(self.keys.taken(queue, worker) for worker in workers)):
                pipe.lrange(name, 0, MOST_MESSAGES - 1)
            return any(task_of(raw) == task for messages in pipe.execute() for raw in messages)

    def depths(self, queues: Iterable[Queue]) -> dict[Queue, QueueDepth]:
        """Return the work of each queue, in at most two round trips: KEDA's two measurements, and the ledger's own."""
        names = list(queues)
        with self.client.pipeline(transaction=False) as pipe:
            for queue in names:
                pipe.zcard(self.keys.open(queue))
                pipe.llen(str(queue))
                pipe.hlen(self.keys.running(queue))
                pipe.hlen(self.keys.ending(queue))
                pipe.zcard(self.keys.due(queue))
                self._get_places(pipe, queue)
                pipe.zrange(self.keys.open(queue), 0, 0)
            replies = pipe.execute()
        columns = 7
        rows = [replies[columns * row : columns * row + columns] for row in range(len(names))]
        now = self.clock()
        ages = self._ages([row[-1][0] for row in rows if row[-1]], now)
        depths = {}
        for queue, (opened, window, running, ending, delayed, places, first) in zip(names, rows, strict=True):
            # The tasks of other queues keep no ledger: what waits of them is the queue itself.
            waiting = max(0, opened - running) if queue in DOCUMENT_TASKS else window
            depths[queue] = QueueDepth(
                waiting=waiting,
                running=running,
                done=sum(decode_places(places)[SUMS:]),
                oldest_wait_seconds=ages.get(first[0], 0.0) if first else 0.0,
                ending=ending,
                delayed=delayed,
            )
        return depths

    def times(self, queues: Iterable[Queue]) -> dict[Queue, ServiceTimes]:
        """Return the service times of each queue, as its workers measured them."""
        names = list(queues)
        with self.client.pipeline(transaction=False) as pipe:
            for queue in names:
                self._get_places(pipe, queue)
            found = [decode_places(places) for places in pipe.execute()]
        return dict(zip(names, map(decode_times, found), strict=True))

    def _get_places(self, pipe: Any, queue: Queue) -> None:
        pipe.execute_command("GET", self.keys.service(queue), NEVER_DECODE=True)

    def _ages(self, document_ids: Sequence[str], now: float) -> dict[str, float]:
        """Return how long ago documents were opened, in seconds."""
        documents = self.documents(document_ids) if document_ids else []
        return {
            document.document_id: max(0.0, now - (document.advanced or document.opened))
            for document in documents
            if document is not None
        }
