"""A fleet whose Redis is elsewhere: send it documents, ask it how they are, decide about its quarantine."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from app.config import Settings, settings
from app.dispatch import flood, message, new_id
from app.errors import FleetError, SettingsError, StorageError, UsageError
from app.ledger.connection import check
from app.ledger.ledger import Ledger
from app.ledger.models import BatchCounts, Document, Options, State, Submission
from app.producer.corpus import default_directory, make_set
from app.queues import Queue
from app.run.intake import Unreadable, expand, named, submissions
from app.storage import ObjectStore
from app.tasks.services import ledger_of

POLL_SECONDS = 0.5


def connect_remote() -> tuple[Settings, Ledger]:
    """Return the settings and the ledger of the fleet that FLEET_REDIS_URL names.

    Raises:
        SettingsError: where it names none.
        ServerError: where no server answers there.
    """
    config = settings()
    if not config.redis_url:
        raise SettingsError("Set FLEET_REDIS_URL to the Redis server of the fleet.")
    check(config)
    return config, ledger_of(config)


def flood_remote(
    paths: Sequence[Path], *, documents: int, seed: int, on_sent: Callable[[int, int], None]
) -> BatchCounts:
    """Store the originals and send their messages; synthetic documents where no paths are given.

    Raises:
        FleetError: where the server or the store is not there, or a file cannot be read.
    """
    config, ledger = connect_remote()
    if not config.store_url:
        raise SettingsError("Set FLEET_STORE_URL to the object store that the fleet shares.")
    store = ObjectStore(config.store_url, timeout_seconds=config.socket_timeout_seconds)
    if paths:
        files = expand(paths)
    else:
        files = [made.path for made in make_set(default_directory(seed), documents=documents, seed=seed)]
    if not files:
        raise UsageError("There is no file to send in the folders given.")
    batch_id = new_id()
    refused: list[Unreadable] = []
    chosen: list[Submission] = []
    for submission in submissions(
        named(files),
        store,
        batch_id=batch_id,
        options=Options(),
        max_bytes=config.max_document_bytes,
        refused=refused,
    ):
        chosen.append(submission)
        on_sent(len(chosen), len(files))
    if refused:
        raise FleetError(f"{refused[0].intake.source}: {refused[0].reason} Nothing was sent.")
    flood(ledger, chosen, batch_id=batch_id, chunk=config.flood_chunk)
    return ledger.batch(batch_id)


def follow_remote(batch_id: str, *, on_counts: Callable[[BatchCounts], None]) -> BatchCounts:
    """Follow a batch until all its documents are settled.

    Raises:
        UsageError: where there is no such batch.
    """
    _, ledger = connect_remote()
    pause = threading.Event()
    while True:
        counts = known_batch(ledger, batch_id)
        on_counts(counts)
        if counts.done:
            return counts
        pause.wait(POLL_SECONDS)


def known_batch(ledger: Ledger, batch_id: str) -> BatchCounts:
    """Return a batch's counts.

    Raises:
        UsageError: where there is no such batch.
    """
    counts = ledger.batch(batch_id)
    if not counts.total:
        raise UsageError(f"There is no batch {batch_id}: `fleet status` lists those that there are.")
    return counts


def quarantined(ledger: Ledger, document_ids: Sequence[str]) -> list[Document]:
    """Return quarantined documents: those named, or all where none is.

    Raises:
        UsageError: for one that is not in the quarantine.
    """
    wanted = list(document_ids) or ledger.quarantined()
    found = []
    for document_id, document in zip(wanted, ledger.documents(wanted), strict=True):
        if document is None or document.state is not State.QUARANTINED:
            state = "not known" if document is None else document.state.value
            raise UsageError(
                f"Document {document_id} is {state}, not quarantined: see `fleet quarantine list`."
            )
        found.append(document)
    return found


def retry_quarantined(ledger: Ledger, documents: Sequence[Document]) -> int:
    """Send quarantined documents again; return how many."""
    return sum(
        ledger.retry(document, message(document.document_id, Queue(document.queue))) for document in documents
    )


def drop_quarantined(config: Settings, ledger: Ledger, documents: Sequence[Document]) -> int:
    """Take documents out of the quarantine for good, with their originals; return how many."""
    store = (
        ObjectStore(config.store_url, timeout_seconds=config.socket_timeout_seconds)
        if config.store_url
        else None
    )
    dropped = 0
    for document in documents:
        if store is not None:
            try:
                store.delete(document.object)
            except StorageError as error:
                raise FleetError(error.message) from None
        dropped += ledger.drop(document)
    return dropped
