"""Submission of documents to a remote fleet, and waiting until their batch is settled."""

import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from app.client.connect import connect
from app.client.history import History
from app.client.intake import Intake, Unreadable, expand, named, submissions
from app.client.room import RoomWait
from app.config import settings
from app.errors import FleetError, ServerError, StorageError, UsageError
from app.ledger.ledger import Ledger, chunks
from app.ledger.message import new_id
from app.ledger.models import BatchCounts, Options
from app.producer.corpus import default_directory, make_set
from app.queues import Queue
from app.storage.store import ObjectStore

POLL_SECONDS = 0.5
BATCH_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}")
"""Valid ids of batches: they become part of keys and paths."""


def wait_for_fleet(timeout: float) -> tuple[Ledger, ObjectStore]:
    """Return the fleet's ledger and store as soon as both answer.

    Args:
        timeout: Seconds to wait for them.

    Raises:
        SettingsError: FLEET_REDIS_URL or FLEET_STORE_URL is missing or cannot be used.
        ServerError: the server does not answer in time.
        StorageError: the store does not answer in time.
    """
    config = settings()
    config.require("redis_url")  # first, so that its error precedes the store's if both are missing
    store = ObjectStore.of(config)
    deadline = time.monotonic() + timeout
    while True:
        try:
            ledger = connect()
            with suppress(FileNotFoundError):
                store.get("connection-test")
        except (ServerError, StorageError):
            if time.monotonic() >= deadline:
                raise
        else:
            return ledger, store
        time.sleep(POLL_SECONDS)


def submit(
    paths: Sequence[Path],
    *,
    documents: int,
    seed: int,
    batch_id: str | None = None,
    weight: int = 1,
    express: bool = False,
    timeout: float = 0.0,
    on_made: Callable[[int], None] = lambda _ready: None,
    on_sent: Callable[[int, int], None],
    on_wait: Callable[[str], None] = lambda _line: None,
) -> BatchCounts:
    """Store originals and open their documents; without paths, synthetic ones.

    Args:
        paths: Files and folders.
        documents: How many synthetic documents.
        seed: The same seed makes the same synthetic documents.
        batch_id: The batch; the documents' ids are derived from it, so a restarted producer adds only the documents
            that are missing. None: a new batch.
        weight: The share of each queue that the batch gets, relative to the 1 of an ordinary batch.
        express: Whether it goes before every ordinary batch.
        timeout: Seconds to wait for the server and the store.
        on_made: Called with the number of synthetic documents that are ready.
        on_sent: Called with the number of originals that are stored, and the number of all.
        on_wait: Called with a sentence when it begins to wait for a full server, and with one when it goes on.

    Returns:
        The batch's counts.

    Raises:
        UsageError: the batch's id is not valid, or the paths name no file.
        ServerFullError: the server stays full.
        FleetError: the server or the store does not answer, or a file cannot be read.
    """
    if batch_id is not None and not BATCH_ID.fullmatch(batch_id):
        raise UsageError(f"A batch cannot be called {batch_id!r}: use up to 64 letters, digits and hyphens.")
    ledger, store = wait_for_fleet(timeout)
    if paths:
        files = expand(paths)
    else:
        folder = default_directory(seed)
        synthetics = make_set(folder, documents=documents, seed=seed, on_progress=on_made)
        files = [synthetic.path for synthetic in synthetics]
    if not files:
        raise UsageError("There is no file to send in the folders given.")
    batch_id = batch_id or new_id()
    intakes = named(files, batch_id=batch_id)
    history = History(ledger, store)
    wanted = _never_opened(ledger, history, batch_id, intakes)
    refused: list[Unreadable] = []
    chosen = []
    for submission in submissions(
        wanted,
        store,
        batch_id=batch_id,
        options=Options(),
        max_bytes=ledger.config.max_document_bytes,
        refused=refused,
    ):
        chosen.append(submission)
        on_sent(len(chosen), len(wanted))
    if refused:
        raise FleetError(f"{refused[0].intake.source}: {refused[0].reason} Nothing was sent.")
    room_wait = RoomWait(
        ledger.config.full_server_timeout_seconds,
        batch_id=batch_id,
        on_line=on_wait,
        pause=partial(time.sleep, POLL_SECONDS),
    )
    ledger.open(batch_id, Queue.PDF, chosen, weight=weight, express=express, when_full=room_wait)
    counts = history.counts(batch_id)
    _refuse_missing(counts, len(intakes))
    return counts


def _never_opened(ledger: Ledger, history: History, batch_id: str, intakes: Sequence[Intake]) -> list[Intake]:
    """Return the intakes except those that an earlier start of the same producer has opened."""
    unknown = []
    for group in chunks(intakes, 1_000):
        known = ledger.documents([intake.document_id for intake in group])
        unknown += [intake for intake, document in zip(group, known, strict=True) if document is None]
    # In this order, as documents leave the ledger for the archive: what has left it by now is there.
    archived = history.archived(batch_id) if unknown else set()
    return [intake for intake in unknown if intake.document_id not in archived]


def _refuse_missing(counts: BatchCounts, expected: int) -> None:
    if counts.total < expected:
        raise FleetError(
            f"{expected - counts.total} of the {expected} documents of batch {counts.batch_id} are missing from the "
            "ledger and its archive: see that Redis and the object store keep their data, and that "
            "FLEET_RETENTION_SECONDS is longer than the run."
        )


def await_batch(
    batch_id: str,
    *,
    expected: int = 1,
    timeout: float = 0.0,
    on_counts: Callable[[BatchCounts], None],
    on_absence: Callable[[str], None] = lambda _why: None,
) -> BatchCounts:
    """Poll a batch until all its documents are settled.

    Args:
        batch_id: The batch.
        expected: How many documents it must have.
        timeout: Seconds that the server or the store may be away at a time, beyond the retries of their clients.
        on_counts: Called with the counts of each poll.
        on_absence: Called with the reason if the server or the store does not answer a poll.

    Returns:
        The batch's counts at the end.

    Raises:
        SettingsError: FLEET_REDIS_URL or FLEET_STORE_URL is missing or cannot be used.
        FleetError: documents of the batch are missing from the ledger and its archive.
        ServerError: the server stays away.
        StorageError: the store stays away.
    """
    config = settings()
    # Without a ping: the first poll, too, may wait for the server.
    history = History(Ledger.of(config), ObjectStore.of(config))
    seen = time.monotonic()
    while True:
        try:
            counts = history.counts(batch_id)
        except (ServerError, StorageError) as error:
            if time.monotonic() - seen > timeout:
                raise
            on_absence(str(error))
        else:
            seen = time.monotonic()
            _refuse_missing(counts, expected)
            on_counts(counts)
            if counts.done:
                return counts
        time.sleep(POLL_SECONDS)
