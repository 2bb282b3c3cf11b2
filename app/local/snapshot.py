"""Snapshots of a local run: one batch and its queues, taken while the fleet is scaled."""

import time
from collections.abc import Callable, Iterator

import msgspec

from app.ledger.follow import BatchFollower
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
        self._follower = BatchFollower(session.ledger, batch_id)

    def snapshot(self) -> RunSnapshot:
        """Step the fleet and return a snapshot.

        Raises:
            FleetError: the fleet fails.
        """
        queues = self.session.step()
        polls = [self._follower.poll()]
        while polls[-1].more:
            polls.append(self._follower.poll())
        settled = [document for poll in polls for document in poll.documents]
        self.session.archive()
        return RunSnapshot(counts=polls[-1].batches[0], queues=queues, settled=settled)

    def until(self, finished: Callable[[RunSnapshot], bool]) -> Iterator[RunSnapshot]:
        """Yield a snapshot every `TICK_SECONDS`, up to and including the first that is `finished`."""
        while True:
            snapshot = self.snapshot()
            yield snapshot
            if finished(snapshot):
                return
            time.sleep(TICK_SECONDS)
