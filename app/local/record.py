"""The timeline of a local run: the events of its `Session` and the snapshots of its `RunFollower`."""

import os
import platform
from collections.abc import Callable
from importlib.metadata import version

import msgspec

from app.client.records import document_record
from app.ledger.models import BatchCounts
from app.local.snapshot import RunSnapshot
from app.policy.policy import Policy
from app.queues import Queue
from app.report.timeline import Event, Machine, Meta, QueueSample, RunSummary, Sample, Timeline


def run_meta(*, command: str, documents: int, seed: int, policies: dict[Queue, Policy]) -> Meta:
    """Return the first line of a run's timeline."""
    return Meta(
        command=command,
        documents=documents,
        seed=seed,
        max_replicas=max(policy.max_replicas for policy in policies.values()),
        policies={queue.value: msgspec.to_builtins(policy) for queue, policy in policies.items()},
        machine=Machine(
            cores=os.cpu_count() or 1,
            python=platform.python_version(),
            celery=version("celery"),
            system=platform.platform(terse=True),
        ),
    )


class RunRecorder:
    """Writes a run's events, samples and documents to its timeline.

    Args:
        timeline: The timeline; its clock has just started.
        epoch: Returns the time in seconds since the epoch.
    """

    def __init__(self, timeline: Timeline, *, epoch: Callable[[], float]) -> None:
        self.timeline = timeline
        self._epoch_zero = epoch() - timeline.elapsed()
        self._peaks: dict[str, int] = {}

    def event(self, event: Event) -> None:
        """Record an event with the present time."""
        self.timeline.record(msgspec.structs.replace(event, t=self.timeline.elapsed()))

    def record(self, snapshot: RunSnapshot) -> None:
        """Record a sample of the queues, and the documents settled since the previous snapshot."""
        queues = {}
        for queue, status in snapshot.queues.items():
            self._peaks[queue.value] = max(self._peaks.get(queue.value, 0), status.ready)
            queues[queue.value] = QueueSample(
                waiting=status.depth.waiting,
                running=status.depth.running,
                replicas=status.replicas,
                ready=status.ready,
                done=status.depth.done,
            )
        counts = snapshot.counts
        t = self.timeline.elapsed()
        self.timeline.record(Sample(t=t, queues=queues, settled=counts.settled, failed=counts.errors))
        for document in snapshot.settled:
            self.timeline.record(document_record(document, zero=self._epoch_zero))

    def finish(self, counts: BatchCounts, *, replaced: int) -> RunSummary:
        """Record the summary and return it.

        Args:
            counts: The batch's counts at the end.
            replaced: How many workers were replaced.
        """
        finished = (counts.finished or self._epoch_zero) - self._epoch_zero
        began = (counts.opened or self._epoch_zero) - self._epoch_zero
        seconds = max(finished - began, 1e-9)
        summary = RunSummary(
            seconds=round(finished, 3),
            documents=counts.settled,
            states={
                "succeeded": counts.succeeded,
                "failed": counts.failed,
                "quarantined": counts.quarantined,
            },
            failed=counts.errors,
            documents_per_second=round(counts.settled / seconds, 2),
            peak_replicas=self._peaks,
            replaced=replaced,
            duplicates=counts.duplicates,
        )
        self.timeline.record(summary)
        return summary
