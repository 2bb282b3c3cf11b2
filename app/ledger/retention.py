"""The end of retention: documents of batches that were finished long ago leave the ledger."""

from typing import TYPE_CHECKING

from app.ledger.record import MICRO

if TYPE_CHECKING:
    from app.ledger.ledger import Ledger

CHUNK = 1_000
MOST_BATCHES = 1_000
"""Batches examined in one call, the oldest first."""


def forget_expired(ledger: "Ledger", *, most: int = 10_000) -> int:
    """Remove the documents of batches that were finished `retention_seconds` ago, and then the batches.

    A batch with a document in the quarantine stays: somebody has yet to decide about it.

    Args:
        ledger: The ledger.
        most: The limit of documents; the next call goes on with the others.

    Returns:
        The number of documents removed.

    Raises:
        ServerError: the server does not answer.
    """
    client, keys = ledger.client, ledger.keys
    limit = (ledger.clock() - ledger.config.retention_seconds) * MICRO
    # A batch is finished after it was opened.
    listed = client.zrange(keys.batches, "-inf", limit, byscore=True, offset=0, num=MOST_BATCHES)
    with client.pipeline(transaction=False) as pipe:
        for batch_id in listed:
            pipe.hget(keys.batch(batch_id), "finished")
        finished = pipe.execute()
    removed = 0
    for batch_id, moment in zip(listed, finished, strict=True):
        if moment is None or int(moment) > limit:
            continue
        while removed < most:
            documents = client.lrange(keys.settled(batch_id), 0, CHUNK - 1)
            if not documents:
                client.unlink(keys.batch(batch_id))
                client.zrem(keys.batches, batch_id)
                break
            if any(place is not None for place in client.zmscore(keys.quarantine, documents)):
                break
            with client.pipeline() as pipe:
                pipe.unlink(*(keys.document(document_id) for document_id in documents))
                pipe.ltrim(keys.settled(batch_id), len(documents), -1)
                removed += pipe.execute()[0]
    return removed
