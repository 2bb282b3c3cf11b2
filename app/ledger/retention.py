"""The end of retention: documents that were settled long ago leave the ledger, and then their batches."""

from itertools import takewhile
from typing import TYPE_CHECKING

from app.ledger.record import MICRO

if TYPE_CHECKING:
    from app.ledger.ledger import Ledger

CHUNK = 1_000


def forget_expired(ledger: "Ledger", *, most: int = 10_000) -> int:
    """Remove the documents that were settled `retention_seconds` ago, and the batches that were finished by then.

    A batch keeps a document in the quarantine, and those settled after it: somebody has yet to decide about it. It also
    keeps all of them while documents are opened in it.

    Args:
        ledger: The ledger.
        most: No further batch is begun after so many documents; the next call goes on.

    Returns:
        The number of documents removed.

    Raises:
        ServerError: the server does not answer.
    """
    client, keys = ledger.client, ledger.keys
    limit = int((ledger.clock() - ledger.config.retention_seconds) * MICRO)
    removed = 0
    for batch_id in client.zrange(keys.batches, "-inf", limit, byscore=True):
        if removed >= most:
            break
        while expired := _expired(ledger, batch_id, limit):
            with client.pipeline() as pipe:
                pipe.unlink(*(keys.document(document_id) for document_id in expired))
                pipe.ltrim(keys.settled(batch_id), len(expired), -1)
                pipe.hincrby(keys.batch(batch_id), "trimmed", len(expired))
                removed += pipe.execute()[0]
        finished = client.hget(keys.batch(batch_id), "finished")
        if finished is not None and int(finished) <= limit and not client.exists(keys.settled(batch_id)):
            client.unlink(keys.batch(batch_id))
            client.zrem(keys.batches, batch_id)
    return removed


def _expired(ledger: "Ledger", batch_id: str, limit: int) -> list[str]:
    """Return the documents at the head of a batch's settled ones that were settled before `limit` (us)."""
    client, keys = ledger.client, ledger.keys
    listed = client.lrange(keys.settled(batch_id), 0, CHUNK - 1)
    if not listed:
        return []
    with client.pipeline(transaction=False) as pipe:
        pipe.zmscore(keys.quarantine, listed)
        for document_id in listed:
            pipe.hmget(keys.document(document_id), "q", "f")
        quarantined, *found = pipe.execute()

    def over(place: int) -> bool:
        queue, finished = found[place]
        settled = queue is None or (finished is not None and int(finished) <= limit)
        return settled and quarantined[place] is None

    return [listed[place] for place in takewhile(over, range(len(listed)))]
