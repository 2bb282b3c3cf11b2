"""The end of retention: documents of batches that were finished long ago leave the ledger."""

from typing import TYPE_CHECKING

from app.ledger.record import MICRO

if TYPE_CHECKING:
    from app.ledger.ledger import Ledger

CHUNK = 1_000


def forget_expired(ledger: "Ledger", *, most: int = 10_000) -> int:
    """Remove the documents of batches that were finished `retention_seconds` ago, and then the batches.

    A batch with a document in the quarantine stays: somebody has yet to decide about it.

    Args:
        ledger: The ledger.
        most: No further batch is begun after so many documents; the next call goes on.

    Returns:
        The number of documents removed.

    Raises:
        ServerError: the server does not answer.
    """
    client, keys = ledger.client, ledger.keys
    limit = (ledger.clock() - ledger.config.retention_seconds) * MICRO
    removed = 0
    for batch_id in _finished(ledger, limit):
        if removed >= most:
            break
        if _undecided(ledger, batch_id):
            continue
        while documents := client.lrange(keys.settled(batch_id), 0, CHUNK - 1):
            with client.pipeline() as pipe:
                pipe.unlink(*(keys.document(document_id) for document_id in documents))
                pipe.ltrim(keys.settled(batch_id), len(documents), -1)
                removed += pipe.execute()[0]
        client.unlink(keys.batch(batch_id))
        client.zrem(keys.batches, batch_id)
    return removed


def _finished(ledger: "Ledger", limit: float) -> list[str]:
    """Return the batches that were finished before `limit` (us)."""
    client, keys = ledger.client, ledger.keys
    # A batch is finished after it was opened.
    listed = client.zrange(keys.batches, "-inf", limit, byscore=True)
    with client.pipeline(transaction=False) as pipe:
        for batch_id in listed:
            pipe.hget(keys.batch(batch_id), "finished")
        moments = pipe.execute()
    pairs = zip(listed, moments, strict=True)
    return [batch_id for batch_id, moment in pairs if moment is not None and int(moment) <= limit]


def _undecided(ledger: "Ledger", batch_id: str) -> bool:
    """Return whether a document of the batch is in the quarantine."""
    if not ledger.batch(batch_id).quarantined:
        return False
    client, keys = ledger.client, ledger.keys
    start = 0
    while documents := client.lrange(keys.settled(batch_id), start, start + CHUNK - 1):
        if any(place is not None for place in client.zmscore(keys.quarantine, documents)):
            return True
        start += len(documents)
    return False
