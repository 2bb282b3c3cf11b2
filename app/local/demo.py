"""`fleet demo`: a flood of synthetic documents through a local fleet, recorded from zero workers back to zero."""

import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

import msgspec

from app.client.room import RoomWait
from app.config import Settings
from app.errors import FleetError, StorageFullError
from app.ledger.message import new_id
from app.ledger.models import BatchCounts, Submission
from app.local.claim import claimed
from app.local.record import RunRecorder, run_meta
from app.local.session import Session
from app.local.snapshot import TICK_SECONDS, RunFollower, RunSnapshot
from app.policy.policy import Policy
from app.producer.corpus import default_directory, make_set
from app.producer.models import Synthetic
from app.queues import Queue
from app.report.timeline import RunSummary, Timeline
from app.storage.layout import original_key


def store_originals(session: Session, documents: Sequence[Synthetic], batch_id: str) -> list[Submission]:
    """Put the documents into the store and return their submissions.

    Raises:
        StorageError: the store fails.
        FleetError: a document of the set cannot be read.
    """
    submissions = []
    for synthetic in documents:
        document_id = new_id()
        key = original_key(batch_id, document_id)
        try:
            session.store.put(key, synthetic.path.read_bytes())
        except OSError as error:
            raise FleetError(f"{synthetic.path} cannot be read: {error.strerror}; start again.") from None
        submissions.append(Submission(document_id=document_id, source=synthetic.path.name))
    return submissions


def flood_and_follow(
    session: Session,
    submissions: Sequence[Submission],
    batch_id: str,
    *,
    recorder: RunRecorder,
    on_progress: Callable[[RunSnapshot], None],
    on_wait: Callable[[str], None] = lambda _line: None,
) -> BatchCounts:
    """Open all documents at once, and follow the batch until all are settled and every replica is gone.

    Returns:
        The batch's counts at the end.

    Raises:
        FleetError: the fleet fails.
    """
    follower = RunFollower(session, batch_id)

    def show(snapshot: RunSnapshot) -> None:
        recorder.record(snapshot)
        for document in snapshot.settled:
            if document.error == StorageFullError.code:
                raise StorageFullError(document.message or "")
        on_progress(snapshot)

    def pause() -> None:
        show(follower.snapshot())  # the fleet goes on meanwhile
        time.sleep(TICK_SECONDS)

    # The timeline begins with an empty fleet.
    show(follower.snapshot())
    room_wait = RoomWait(
        session.config.full_server_timeout_seconds, batch_id=batch_id, on_line=on_wait, pause=pause
    )
    session.ledger.open(batch_id, Queue.PDF, submissions, when_full=room_wait)
    for snapshot in follower.until(lambda now: now.counts.settled >= len(submissions) and now.idle):
        show(snapshot)
    return session.ledger.batch(batch_id)


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a demo."""

    summary: RunSummary
    report: Path
    """The report's index.html."""
    surprises: list[str]
    """A sentence for each document that did not end as its kind must."""


def synthetics(documents: int, seed: int, on_progress: Callable[[int], None]) -> list[Synthetic]:
    """Return the synthetic documents, made unless they are in the cache.

    Args:
        documents: How many.
        seed: The same seed makes the same documents.
        on_progress: Called with the number of those that are ready.

    Raises:
        FleetError: they cannot be made or cached.
        ModuleNotFoundError: a library that the demo or its report needs is not installed; raised before the run.
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
    on_wait: Callable[[str], None],
) -> Result:
    """Process the documents on a local fleet and write the report.

    Args:
        config: The settings.
        policies: The policy of each queue.
        documents: The synthetic documents.
        seed: Their seed, for the report.
        command: The command line, for the report.
        report: The report's folder.
        on_progress: Called with each snapshot.
        on_wait: Called with a sentence when the run begins to wait for a full server, and with one when it goes on.

    Raises:
        FleetError: the fleet fails, or the report's folder is in use or cannot be written.
    """
    first = run_meta(command=command, documents=len(documents), seed=seed, policies=policies)
    batch_id = new_id()
    busy = f"Another demo is writing its report to {report}: wait for it, or choose another with --report."
    with claimed(report, otherwise=busy), Timeline(report / "timeline.jsonl", first) as timeline:
        recorder = RunRecorder(timeline, epoch=time.time)
        with Session(config, policies, on_event=recorder.event) as session:
            chosen = store_originals(session, documents, batch_id)
            counts = flood_and_follow(
                session, chosen, batch_id, recorder=recorder, on_progress=on_progress, on_wait=on_wait
            )
            ids = [submission.document_id for submission in chosen]
            found = session.ledger.documents(ids)
            replaced = session.fleet.replaced
        summary = recorder.finish(counts, replaced=replaced)
        surprises = []
        for made, document in zip(documents, found, strict=True):
            ending = (document.error or document.state.value) if document else "missing from the ledger"
            if ending != made.expected:
                reason = f" {document.message}" if document and document.message else ""
                surprises.append(f"{made.path.name} is {ending}, and must be {made.expected}.{reason}")
        from app.report.page import write_report  # noqa: PLC0415  # slow to import; needed only now

        return Result(summary=summary, report=write_report(report, timeline.path), surprises=surprises)
