"""Sending documents to a fleet whose Redis and store are elsewhere, and following them until all is settled."""

import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from app.client.intake import Intake, Unreadable, expand, named, submissions
from app.client.quarantine import connect_remote
from app.config import Settings, settings
from app.errors import FleetError, ServerError, StorageError, UsageError
from app.ledger.ledger import Ledger, chunks
from app.ledger.message import new_id
from app.ledger.models import BatchCounts, Options
from app.producer.corpus import default_directory, make_set
from app.queues import Queue
from app.storage.store import ObjectStore

POLL_SECONDS = 0.5
BATCH_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}")
"""What a batch may be called: it becomes part of keys and paths."""


def wait_for_fleet(patience: float) -> tuple[Settings, Ledger, ObjectStore]:
    """Return the fleet's settings, ledger and store as soon as both servers answer.

    Args:
        patience: How long they may be away, in seconds.

    Raises:
        SettingsError: where FLEET_REDIS_URL or FLEET_STORE_URL is missing or cannot be used.
        FleetError: where one of them stays away.
    """
    config = settings()
    store = ObjectStore.of(config)
    once, ledger = Ledger.of(config, retries=0), Ledger.of(config)
    deadline = time.monotonic() + patience
    pause = threading.Event()
    while True:
        try:
            once.client.ping()
            _answers(store)
        except (ServerError, StorageError):
            if time.monotonic() >= deadline:
                raise
        else:
            return config, ledger, store
        pause.wait(POLL_SECONDS)


def _answers(store: ObjectStore) -> None:
    try:
        store.get("fleet-asks-whether-the-store-answers")
    except FileNotFoundError:
        return


def flood_remote(
    paths: Sequence[Path],
    *,
    documents: int,
    seed: int,
    batch_id: str | None = None,
    patience: float = 0.0,
    on_made: Callable[[int], None] = lambda _ready: None,
    on_sent: Callable[[int, int], None],
) -> BatchCounts:
    """Store the originals and send their messages; synthetic documents where no paths are given.

    Args:
        paths: Files and folders.
        documents: How many synthetic documents, of which `seed`.
        seed: The same seed makes the same documents.
        batch_id: Names the batch; its documents' ids follow from it, so that a producer that is started again
            adds only what is missing. None: a new batch.
        patience: How long the servers may be away at first, in seconds.
        on_made: Told how many synthetic documents are ready.
        on_sent: Told how many originals of how many are stored.

    Raises:
        FleetError: where the server or the store is not there, or a file cannot be read.
    """
    if batch_id is not None and not BATCH_ID.fullmatch(batch_id):
        raise UsageError(f"A batch cannot be called {batch_id!r}: use up to 64 letters, digits and hyphens.")
    config, ledger, store = wait_for_fleet(patience)
    if paths:
        files = expand(paths)
    else:
        folder = default_directory(seed)
        made = make_set(folder, documents=documents, seed=seed, on_progress=on_made)
        files = [one.path for one in made]
    if not files:
        raise UsageError("There is no file to send in the folders given.")
    intakes = named(files, batch_id=batch_id)
    batch_id = batch_id or new_id()
    wanted = list(_not_yet_open(ledger, intakes))
    refused: list[Unreadable] = []
    chosen = []
    for submission in submissions(
        wanted,
        store,
        batch_id=batch_id,
        options=Options(),
        max_bytes=config.max_document_bytes,
        refused=refused,
    ):
        chosen.append(submission)
        on_sent(len(chosen), len(wanted))
    if refused:
        raise FleetError(f"{refused[0].intake.source}: {refused[0].reason} Nothing was sent.")
    ledger.open(batch_id, Queue.PDF, chosen)
    counts = ledger.batch(batch_id)
    _refuse_missing(counts, len(intakes))
    return counts


def _not_yet_open(ledger: Ledger, intakes: Sequence[Intake]) -> Iterator[Intake]:
    """Leave out what an earlier start of the same producer has opened."""
    for group in chunks(intakes, 1_000):
        known = ledger.documents([intake.document_id for intake in group])
        yield from (intake for intake, document in zip(group, known, strict=True) if document is None)


def _refuse_missing(counts: BatchCounts, expected: int) -> None:
    if counts.total < expected:
        raise FleetError(
            f"{expected - counts.total} of the {expected} documents of batch {counts.batch_id} are missing from the "
            "ledger: did its Redis lose data, or was its retention shorter than the run?"
        )


def follow_remote(
    batch_id: str,
    *,
    expected: int = 1,
    patience: float = 0.0,
    on_counts: Callable[[BatchCounts], None],
    on_absence: Callable[[str], None] = lambda _why: None,
) -> BatchCounts:
    """Follow a batch until all its documents are settled.

    Args:
        batch_id: The batch.
        expected: How many documents it must have.
        patience: How long the server may be away at a time, in seconds, beyond what the client waits anyway.
        on_counts: Told the counts whenever they were looked at.
        on_absence: Told why the server could not be asked.

    Raises:
        FleetError: where documents are missing from the batch, or all of it is.
        ServerError: where the server stays away.
    """
    _, ledger = connect_remote()
    pause = threading.Event()
    seen = time.monotonic()
    while True:
        try:
            counts = ledger.batch(batch_id)
        except ServerError as error:
            if time.monotonic() - seen > patience:
                raise
            on_absence(str(error))
        else:
            seen = time.monotonic()
            _refuse_missing(counts, expected)
            on_counts(counts)
            if counts.done:
                return counts
        pause.wait(POLL_SECONDS)
