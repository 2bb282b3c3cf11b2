"""`fleet demo`: the main job, recorded: synthetic documents, a flood, and the fleet's way up and down."""

import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

import msgspec

from app.config import Settings
from app.errors import FleetError, StorageError, StorageFullError
from app.ledger.message import new_id
from app.ledger.models import BatchCounts, Document, Submission
from app.local.claim import claimed
from app.local.record import RunRecorder, run_meta
from app.local.session import Session
from app.local.snapshot import RunFollower, RunSnapshot
from app.policy.policy import Policy
from app.producer.corpus import default_directory, make_set
from app.producer.models import Synthetic
from app.queues import Queue
from app.report.timeline import RunSummary, Timeline
from app.storage.layout import original_key


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
    recorder: RunRecorder,
    on_progress: Callable[[RunSnapshot], None],
) -> BatchCounts:
    """Flood the queue at once, follow the batch until all is settled and every replica is gone.

    Raises:
        FleetError: where the fleet fails.
    """
    follower = RunFollower(session, batch_id)

    def show(progress: RunSnapshot) -> None:
        recorder.look(progress)
        for document in progress.settled:
            if document.error == StorageFullError.code:
                raise StorageFullError(document.message or "")
        on_progress(progress)

    # An empty fleet first, so that the record begins with nothing.
    show(follower.look())
    session.ledger.open(batch_id, Queue.PDF, submissions)
    for progress in follower.until(lambda seen: seen.counts.settled >= len(submissions) and seen.idle):
        show(progress)
    return session.ledger.batch(batch_id)


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a demo."""

    summary: RunSummary
    report: Path
    """The report's index.html."""
    surprises: list[str]
    """Documents that did not end as their kind must, each as a sentence."""


def synthetics(documents: int, seed: int, on_progress: Callable[[int], None]) -> list[Synthetic]:
    """Return the synthetic documents, made or from the cache.

    Raises:
        FleetError: where they cannot be made or kept.
        ModuleNotFoundError: where what a demo needs is not installed; known now, and not after the run.
    """
    for module in ("reportlab", "matplotlib", "jinja2"):
        if find_spec(module) is None:
            raise ModuleNotFoundError(f"No module named {module!r}", name=module)
    return make_set(default_directory(seed), documents=documents, seed=seed, on_progress=on_progress)


def run(
    config: Settings,
    policies: dict[Queue, Policy],
    documents: Sequence[Synthetic],
    *,
    seed: int,
    command: str,
    report: Path,
    on_progress: Callable[[RunSnapshot], None],
) -> Result:
    """Run the main job and write its report.

    Raises:
        FleetError: where the fleet fails, or the report's folder is in use or cannot be written.
    """
    first = run_meta(command=command, documents=len(documents), seed=seed, policies=policies)
    batch_id = new_id()
    busy = f"Another demo is writing its report to {report}: wait for it, or choose another with --report."
    with claimed(report, otherwise=busy), Timeline(report / "timeline.jsonl", first) as timeline:
        recorder = RunRecorder(timeline, epoch=time.time)
        with Session(config, policies, on_event=recorder.event) as session:
            chosen = store_originals(session, documents, batch_id)
            counts = flood_and_follow(session, chosen, batch_id, recorder=recorder, on_progress=on_progress)
            ids = [submission.document_id for submission in chosen]
            found = session.ledger.documents(ids)
            replaced = session.fleet.replaced
        summary = recorder.finish(counts, replaced=replaced)
        surprises = [
            f"{made.path.name} is {_ending(document)}, and must be {made.expected}."
            for made, document in zip(documents, found, strict=True)
            if _ending(document) != made.expected
        ]
        from app.report.page import write_report  # noqa: PLC0415  # slow to import; needed only now

        return Result(summary=summary, report=write_report(report, timeline.path), surprises=surprises)


def _ending(document: Document | None) -> str:
    if document is None:
        return "unknown"
    return document.error or document.state.value
