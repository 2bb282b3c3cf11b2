"""The quarantine of a remote fleet: find its documents, send them again, or drop them."""

from collections.abc import Sequence

from app.errors import UsageError
from app.ledger.ledger import Ledger
from app.ledger.models import Document, State
from app.storage.layout import original_key
from app.storage.store import ObjectStore


def quarantined(ledger: Ledger, document_ids: Sequence[str]) -> list[Document]:
    """Return the quarantined documents with the ids given; without ids, all of them.

    Raises:
        UsageError: a document is not in the quarantine.
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


def drop_quarantined(ledger: Ledger, documents: Sequence[Document]) -> int:
    """Remove documents from the quarantine and, if FLEET_STORE_URL is set, delete their originals; return how many.

    Raises:
        StorageError: the store fails.
    """
    store = ObjectStore.of(ledger.config) if ledger.config.store_url else None
    dropped = 0
    for document in documents:
        if store is not None:
            store.delete(original_key(document.batch, document.document_id))
        dropped += ledger.drop(document)
    return dropped
