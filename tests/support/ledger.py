"""Queries of a ledger that only tests need."""

from app.ledger.ledger import Ledger
from app.ledger.message import template
from app.queues import Queue


def message(document_id: str, queue: Queue) -> str:
    """Return the message that sends a document through `queue`, as the ledger's steps make it."""
    return template(queue).replace("\x01", document_id)


def batch_documents(ledger: Ledger, batch_id: str) -> list[str]:
    """Return the ids of a batch's documents, settled or not, by their sources."""
    prefix = ledger.keys.document("")
    found = {}
    for key in ledger.client.scan_iter(f"{prefix}*", count=1_000):
        batch, source = ledger.client.hmget(key, "b", "n")
        if batch == batch_id:
            found[key.removeprefix(prefix)] = source
    return sorted(found, key=lambda document_id: found[document_id])
