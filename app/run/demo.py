"""`fleet demo`: the main job, recorded: synthetic documents, a flood, and the fleet's way up and down."""

import os
import platform
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import msgspec

from app.config import Settings
from app.dispatch import flood, new_id
from app.errors import FleetError, StorageError, StorageFullError
from app.ledger.models import BatchCounts, Document, Submission
from app.producer.corpus import default_directory, make_set
from app.producer.models import Synthetic
from app.queues import Queue
from app.run.claim import claimed
from app.run.follow import Follower, Progress
from app.run.session import Session
from app.scaling.policy import Policy
from app.scaling.report import write_report
from app.scaling.timeline import (
    DocumentRecord,
    Event,
    Machine,
    Meta,
    QueueSample,
    Sample,
    Stage,
    Summary,
    Timeline,
    What,
)
from app.tasks.results import original_key


def meta(*, command: str, documents: int, seed: int, policies: dict[Queue, Policy]) -> Meta:
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


class Recorder:
    """Writes what happens in a run to its timeline."""

    def __init__(self, timeline: Timeline, *, epoch: Callable[[], float]) -> None:
        self.timeline = timeline
        self._epoch_zero = epoch() - timeline.elapsed()
        self._peaks: dict[str, int] = {}

    def event(self, what: str, details: dict[str, str]) -> None:
        """Note an event as `Session` tells it."""
        self.timeline.record(
            Event(
                t=self.timeline.elapsed(),
                what=What(what),
                queue=details.get("queue"),
                before=int(details["from"]) if "from" in details else None,
                after=int(details["to"]) if "to" in details else None,
                message=details.get("reason") or ", ".join(f"{k} {v}" for k, v in details.items()),
            )
        )

    def look(self, progress: Progress) -> None:
        """Note a look at the queues, and the documents that it found settled."""
        queues = {}
        for queue, status in progress.queues.items():
            self._peaks[queue.value] = max(self._peaks.get(queue.value, 0), status.ready)
            queues[queue.value] = QueueSample(
                waiting=status.depth.waiting,
                running=status.depth.inflight,
                replicas=status.replicas,
                ready=status.ready,
                done=status.depth.done,
            )
        counts = progress.counts
        t = self.timeline.elapsed()
        self.timeline.record(Sample(t=t, queues=queues, settled=counts.settled, failed=counts.errors))
        for document in progress.settled:
            self.timeline.record(self._document(document))

    def finish(self, counts: BatchCounts, *, replaced: int) -> Summary:
        """Write the last line and return it."""
        finished = (counts.finished or self._epoch_zero) - self._epoch_zero
        began = (counts.opened or self._epoch_zero) - self._epoch_zero
        seconds = max(finished - began, 1e-9)
        summary = Summary(
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

    def _document(self, document: Document) -> DocumentRecord:
        def at(moment: float | None) -> float | None:
            return None if moment is None else round(moment - self._epoch_zero, 4)

        stages = []
        if document.advanced and document.started and document.attempt_started and document.finished:
            zero = self._epoch_zero
            first, last = document.started - zero, document.attempt_started - zero
            handed_on, end = document.advanced - zero, document.finished - zero
            stages = [
                Stage(
                    queue=Queue.PDF.value, opened=document.opened - zero, started=first, finished=handed_on
                ),
                Stage(queue=document.queue, opened=handed_on, started=last, finished=end),
            ]
        return DocumentRecord(
            id=document.document_id,
            state=document.state.value,
            opened=document.opened - self._epoch_zero,
            started=at(document.started),
            finished=at(document.finished),
            error=document.error,
            queue=document.queue,
            stages=stages,
        )


def store_originals(session: Session, documents: Sequence[Synthetic], batch_id: str) -> list[Submission]:
    """Put the documents into the store and return what is to be opened.

    Raises:
        FleetError: where the store takes nothing any more, or a document of the set cannot be read.
    """
    submissions = []
    for synthetic in documents:
        document_id = new_id()
        key = original_key(batch_id, document_id)
        try:
            session.store.put(key, synthetic.path.read_bytes())
        except StorageError as error:
            raise FleetError(error.message) from None
        except OSError as error:
            raise FleetError(f"{synthetic.path} cannot be read: {error.strerror}; start again.") from None
        submissions.append(Submission(document_id=document_id, source=synthetic.path.name, object_key=key))
    return submissions


def flood_and_follow(
    session: Session,
    submissions: Sequence[Submission],
    batch_id: str,
    *,
    recorder: Recorder,
    on_progress: Callable[[Progress], None],
) -> BatchCounts:
    """Flood the queue at once, follow the batch until all is settled and every replica is gone.

    Raises:
        FleetError: where the fleet fails.
    """
    follower = Follower(session, batch_id)

    def show(progress: Progress) -> None:
        recorder.look(progress)
        for document in progress.settled:
            if document.error == StorageFullError.code:
                raise StorageFullError(document.message or "")
        on_progress(progress)

    # An empty fleet first, so that the record begins with nothing.
    show(follower.look())
    session.steadily(
        lambda: flood(session.ledger, submissions, batch_id=batch_id, chunk=session.config.flood_chunk)
    )
    for progress in follower.until(lambda seen: seen.counts.settled >= len(submissions) and seen.idle):
        show(progress)
    return session.steadily(lambda: session.ledger.batch(batch_id))


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a demo."""

    summary: Summary
    report: Path
    """The report's index.html."""
    surprises: list[str]
    """Documents that did not end as their kind must, each as a sentence."""


def synthetics(documents: int, seed: int, on_progress: Callable[[int], None]) -> list[Synthetic]:
    """Return the synthetic documents, made or from the cache.

    Raises:
        FleetError: where they cannot be made or kept.
    """
    return make_set(default_directory(seed), documents=documents, seed=seed, on_progress=on_progress)


def run(
    config: Settings,
    policies: dict[Queue, Policy],
    documents: Sequence[Synthetic],
    *,
    seed: int,
    command: str,
    report: Path,
    on_progress: Callable[[Progress], None],
) -> Result:
    """Run the main job and write its report.

    Raises:
        FleetError: where the fleet fails, or the report's folder is in use or cannot be written.
    """
    first = meta(command=command, documents=len(documents), seed=seed, policies=policies)
    batch_id = new_id()
    busy = f"Another demo is writing its report to {report}: wait for it, or choose another with --report."
    with claimed(report, otherwise=busy), Timeline(report / "timeline.jsonl", first) as timeline:
        recorder = Recorder(timeline, epoch=time.time)
        with Session(config, policies, on_event=recorder.event) as session:
            chosen = store_originals(session, documents, batch_id)
            counts = flood_and_follow(session, chosen, batch_id, recorder=recorder, on_progress=on_progress)
            ids = [submission.document_id for submission in chosen]
            found = session.steadily(lambda: session.ledger.documents(ids))
            replaced = session.fleet.replaced
        summary = recorder.finish(counts, replaced=replaced)
        surprises = [
            f"{made.path.name} is {_ending(document)}, and must be {made.expected}."
            for made, document in zip(documents, found, strict=True)
            if _ending(document) != made.expected
        ]
        return Result(summary=summary, report=write_report(report, timeline.path), surprises=surprises)


def _ending(document: Document | None) -> str:
    if document is None:
        return "unknown"
    return document.error or document.state.value
