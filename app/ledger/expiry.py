"""The end of the archive's retention: the objects of batches that left the ledger long ago are removed."""

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

from app.ledger import archived
from app.ledger.archived import ROOT, counts_key, folder, parse
from app.runtime import heartbeat

if TYPE_CHECKING:
    from app.ledger.ledger import Ledger


class DatedStore(archived.Store, Protocol):
    """A store that knows when each object was stored."""

    def keys_before(self, prefix: str, moment: float) -> Iterable[str]:
        """Yield the keys below a folder whose objects were stored before a time, in seconds since the epoch."""


def expire(ledger: "Ledger", store: DatedStore, seconds: float) -> int:
    """Remove the batches from the archive that left the ledger `retention_seconds` ago; return how many.

    A batch left when its counts were stored, by the store's clock. Its counts go last, so that a batch of which this
    removed only a part is found again. It removes nothing but the archive's objects.

    Args:
        ledger: The ledger, which may still have a batch whose counts are stored already.
        store: The store.
        seconds: No further batch is begun after this time; the next call goes on.

    Raises:
        ServerError: the server does not answer.
        StorageError: the store failed.
    """
    end = time.monotonic() + seconds
    removed = 0
    for key in store.keys_before(ROOT, ledger.clock() - ledger.config.retention_seconds):
        if time.monotonic() >= end:
            break
        heartbeat.beat()
        named = parse(key)
        if named is None or named.part is not None:
            continue
        if ledger.client.hget(ledger.keys.batch(named.batch_id), "opened") == str(named.opened):
            continue
        for part in store.keys(folder(named.batch_id, named.opened)):
            if (found := parse(part)) is not None and found.part is not None:
                store.delete(part)
                heartbeat.beat()
        store.delete(counts_key(named.batch_id, named.opened))
        removed += 1
    return removed
