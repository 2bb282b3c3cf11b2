"""Snapshots of a local run: one batch and its queues, taken while the fleet is scaled."""

import threading
from collections.abc import Callable, Iterator

import msgspec

from app.ledger.models import BatchCounts, Document
from app.local.fleet import QueueStatus
from app.local.session import Session
from app.queues import Queue

TICK_SECONDS = 0.2
"""Pause between two snapshots."""


class RunSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A batch and its queues at one moment."""

    counts: BatchCounts
    queues: dict[Queue, QueueStatus]
    settled: list[Document]
    """Documents settled since the previous snapshot."""

    @property
    def idle(self) -> bool:
        """Whether no queue has replicas, desired or ready."""
        return all(status.replicas == 0 and status.ready == 0 for status in self.queues.values())


class RunFollower:
    """Steps a run and takes snapshots of one of its batches.

    Args:
        session: The run.
        batch_id: The batch.
    """

    def __init__(self, session: Session, batch_id: str) -> None:
        self.session = session
        self.batch_id = batch_id
        self._seen: set[str] = set()
        self._pause = threading.Event()

    def snapshot(self) -> RunSnapshot:
        """Step the fleet and return a snapshot.

        Raises:
            FleetError: the fleet fails.
        """
        session, ledger = self.session, self.session.ledger
        queues = session.step()
        counts = ledger.batch(self.batch_id)
        # A retry out of the quarantine shortens the list: its last entries may then be known already.
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
        """Yield a snapshot every `TICK_SECONDS`, up to and including the first for which `finished` holds."""
        while True:
            snapshot = self.snapshot()
            yield snapshot
            if finished(snapshot):
                return
            self._pause.wait(TICK_SECONDS)
