"""A fleet whose Redis is elsewhere: ask it how its documents are, decide about its quarantine."""

from collections.abc import Sequence

from app.config import Settings, settings
from app.errors import FleetError, StorageError, UsageError
from app.ledger.connection import check
from app.ledger.ledger import Ledger
from app.ledger.models import BatchCounts, Document, State
from app.storage.store import ObjectStore


def connect_remote() -> tuple[Settings, Ledger]:
    """Return the settings and the ledger of the fleet that FLEET_REDIS_URL names.

    Raises:
        SettingsError: where it names none.
        ServerError: where no server answers there.
    """
    config = settings()
    check(config)
    return config, Ledger.of(config)


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
    return sum(ledger.retry(document) for document in documents)


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
