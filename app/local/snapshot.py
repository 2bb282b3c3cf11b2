"""Follow a batch to its end: scale, collect what was settled, and tell whoever shows it."""

import threading
from collections.abc import Callable, Iterator

import msgspec

from app.ledger.models import BatchCounts, Document
from app.local.fleet import QueueStatus
from app.local.session import Session
from app.queues import Queue

TICK_SECONDS = 0.2


class RunSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A batch and its queues at one moment."""

    counts: BatchCounts
    queues: dict[Queue, QueueStatus]
    settled: list[Document]
    """Documents settled since the last look."""

    @property
    def idle(self) -> bool:
        """Whether every queue is back at no replicas, asked for or running."""
        return all(status.replicas == 0 and status.ready == 0 for status in self.queues.values())


class RunFollower:
    """Looks at one batch again and again.

    Args:
        session: The run.
        batch_id: The batch.
    """

    def __init__(self, session: Session, batch_id: str) -> None:
        self.session = session
        self.batch_id = batch_id
        self._seen: set[str] = set()
        self._pause = threading.Event()

    def look(self) -> RunSnapshot:
        """Step the fleet and return what is new.

        Raises:
            FleetError: where the fleet fails.
        """
        session, ledger = self.session, self.session.ledger
        queues = session.step()
        counts = ledger.batch(self.batch_id)
        # Counted from the first again where a retry out of the quarantine took one off the list.
        fresh = [
            document_id
            for document_id in ledger.settled(self.batch_id, len(self._seen))
            if document_id not in self._seen
        ]
        documents = ledger.documents(fresh) if fresh else []
        self._seen.update(fresh)
        known = [document for document in documents if document is not None]
        return RunSnapshot(counts=counts, queues=queues, settled=known)

    def until(self, finished: Callable[[RunSnapshot], bool]) -> Iterator[RunSnapshot]:
        """Yield a look every `TICK_SECONDS` up to and including the one for which `finished` holds."""
        while True:
            progress = self.look()
            yield progress
            if finished(progress):
                return
            self._pause.wait(TICK_SECONDS)
