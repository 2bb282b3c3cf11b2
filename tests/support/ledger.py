"""Queries of a ledger that only tests need."""

from app.ledger.ledger import Ledger


def batch_documents(ledger: Ledger, batch_id: str) -> list[str]:
    """Return the ids of a batch's documents, settled or not, by their sources."""
    prefix = ledger.keys.document("")
    found = {}
    for key in ledger.client.scan_iter(f"{prefix}*", count=1_000):
        batch, source = ledger.client.hmget(key, "b", "n")
        if batch == batch_id:
            found[key.removeprefix(prefix)] = source
    return sorted(found, key=lambda document_id: found[document_id])
