"""`fleet process`: files through a local fleet, and their results into a folder."""

import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import msgspec

from app.client.intake import Intake, Unreadable, submissions
from app.client.room import RoomWait
from app.errors import StorageFullError
from app.ledger.message import new_id
from app.ledger.models import BatchCounts, Options
from app.local.delivery import UNREADABLE_FILE, IndexLine, OutputFolder
from app.local.session import Session
from app.local.snapshot import TICK_SECONDS, RunFollower, RunSnapshot
from app.policy.policy import Policy
from app.queues import Queue

SUBMIT_CHUNK = 64
"""Files read between two steps of the fleet: it grows while the others are still being read."""


def policies(max_replicas: int) -> dict[Queue, Policy]:
    """Return each queue's policy: OCR has the shorter backlog, as one page takes as long as fifty documents."""
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
    on_wait: Callable[[str], None] = lambda _line: None,
) -> BatchCounts:
    """Process files on a local fleet and write their results below `output`.

    The index is written even if the run is interrupted: it then has the documents settled by then.

    Args:
        session: A started run.
        intakes: The files with their names.
        output: The folder of the results and of index.jsonl.
        options: How each document is processed.
        on_line: Called with each document's index line when it is settled.
        on_progress: Called with each snapshot.
        on_wait: Called with a sentence when the run begins to wait for a full server, and with one when it goes on.

    Returns:
        The batch's counts; `failed` includes files that cannot be read.

    Raises:
        FleetError: the fleet, the store or the output folder fails.
    """
    batch_id = new_id()
    by_id = {intake.document_id: intake for intake in intakes}
    folder = OutputFolder(output, session.store)
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

    def deliver(snapshot: RunSnapshot) -> None:
        for document in snapshot.settled:
            if document.error == StorageFullError.code:
                raise StorageFullError(document.message or "")
            on_line(folder.deliver(by_id[document.document_id], document))
        counts = with_refused(snapshot.counts, len(refused))
        on_progress(msgspec.structs.replace(snapshot, counts=counts))

    def pause() -> None:
        deliver(follower.snapshot())  # the fleet goes on meanwhile
        time.sleep(TICK_SECONDS)

    room_wait = RoomWait(
        session.config.full_server_timeout_seconds, batch_id=batch_id, on_line=on_wait, pause=pause
    )
    try:
        while chunk := list(islice(waiting, SUBMIT_CHUNK)):
            opened += len(chunk)
            session.ledger.open(batch_id, Queue.PDF, chunk, when_full=room_wait)
            deliver(follower.snapshot())
        for unreadable in refused:
            on_line(folder.refuse(unreadable))
        if opened:
            for snapshot in follower.until(lambda now: now.counts.settled >= opened):
                deliver(snapshot)
    finally:
        folder.write_index(intakes)
    return with_refused(session.ledger.batch(batch_id), len(refused))


def with_refused(counts: BatchCounts, refused: int) -> BatchCounts:
    """Return `counts` plus the files that could not be read, of which the ledger has no entry."""
    if not refused:
        return counts
    return msgspec.structs.replace(
        counts,
        total=counts.total + refused,
        failed=counts.failed + refused,
        errors={**counts.errors, UNREADABLE_FILE: refused},
    )
