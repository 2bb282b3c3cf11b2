"""`fleet process`: a person's own files through the fleet, and their results back."""

from collections.abc import Callable
from itertools import islice
from pathlib import Path

import msgspec

from app.client.intake import Intake, Unreadable, submissions
from app.errors import StorageFullError
from app.ledger.message import new_id
from app.ledger.models import BatchCounts, Options
from app.local.delivery import UNREADABLE_FILE, Delivery, IndexLine
from app.local.session import Session
from app.local.snapshot import RunFollower, RunSnapshot
from app.policy.policy import Policy
from app.queues import Queue

SUBMIT_CHUNK = 64
"""Files taken in between two looks at the fleet, so that it grows while the rest is still being read."""


def policies(max_replicas: int) -> dict[Queue, Policy]:
    """Return the policies of a local fleet: a page of OCR is worth fifty documents, so its backlog is short."""
    return {
        Queue.PDF: Policy.local(max_replicas),
        Queue.OCR: Policy.local(max_replicas, backlog_per_replica=4),
    }


def process_files(
    session: Session,
    intakes: list[Intake],
    output: Path,
    *,
    options: Options,
    on_line: Callable[[IndexLine], None],
    on_progress: Callable[[RunSnapshot], None],
) -> BatchCounts:
    """Take every file through the fleet and write its results below `output`.

    The index is written also when the run is cut short, with what was settled by then.

    Args:
        session: A started run.
        intakes: The files, named.
        output: Where results and index.jsonl go.
        options: What is asked of each.
        on_line: Called with each document's index line as it settles.
        on_progress: Called at each look.

    Returns:
        The batch's counts; `failed` includes files that could not be read.

    Raises:
        FleetError: where the fleet, the store or the output folder fails.
    """
    batch_id = new_id()
    by_id = {intake.document_id: intake for intake in intakes}
    delivery = Delivery(output, session.store)
    refused: list[Unreadable] = []
    follower = RunFollower(session, batch_id)
    waiting = submissions(
        intakes,
        session.store,
        batch_id=batch_id,
        options=options,
        max_bytes=session.config.max_document_bytes,
        refused=refused,
    )
    opened = 0

    def deliver(progress: RunSnapshot) -> None:
        for document in progress.settled:
            if document.error == StorageFullError.code:
                raise StorageFullError(document.message or "")
            on_line(delivery.deliver(by_id[document.document_id], document))
        counts = with_refused(progress.counts, len(refused))
        on_progress(msgspec.structs.replace(progress, counts=counts))

    try:
        while chunk := list(islice(waiting, SUBMIT_CHUNK)):
            opened += len(chunk)
            session.ledger.open(batch_id, Queue.PDF, chunk)
            deliver(follower.look())
        for unreadable in refused:
            on_line(delivery.refuse(unreadable))
        if opened:
            for progress in follower.until(lambda seen: seen.counts.settled >= opened):
                deliver(progress)
    finally:
        delivery.write_index(intakes)
    return with_refused(session.ledger.batch(batch_id), len(refused))


def with_refused(counts: BatchCounts, refused: int) -> BatchCounts:
    """Return `counts` with the files that could not even be read: the ledger never heard of them."""
    if not refused:
        return counts
    return msgspec.structs.replace(
        counts,
        total=counts.total + refused,
        failed=counts.failed + refused,
        errors={**counts.errors, UNREADABLE_FILE: refused},
    )
