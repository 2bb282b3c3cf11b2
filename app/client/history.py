"""Settled documents and batches, wherever they are: in the ledger, or in the archive that they leave it for."""

from collections import Counter
from collections.abc import Iterator, Sequence

from app.errors import UsageError
from app.ledger.archived import Generation, Store, generations, read_documents, read_left
from app.ledger.ledger import Ledger
from app.ledger.models import BatchCounts, Document
from app.ledger.reader import Reader
from app.ledger.record import micros
from app.storage.store import ObjectStore

PAGE = 1_000
"""Settled documents read from the ledger at once."""


class History:
    """Queries that read both the ledger and the archive.

    Every method raises a `ServerError` if the server, and a `StorageError` if the store, does not answer.

    Args:
        reader: Reads the ledger.
        store: Holds the archive.
    """

    def __init__(self, reader: Reader, store: Store) -> None:
        self._reader = reader
        self._store = store
        self._left: dict[tuple[str, int], list[BatchCounts]] = {}
        """The counts of a batch's earlier generations, by the batch and the time at which it was opened last."""

    def counts(self, batch_id: str) -> BatchCounts:
        """Return a batch's counts; all zero for a batch that neither the ledger nor the archive knows."""
        present = self._reader.batch(batch_id)
        if present.opened is None:
            return merged(batch_id, self._archived(batch_id, None))
        name = batch_id, micros(present.opened)
        if name not in self._left:  # what has left changes no more
            self._left[name] = self._archived(batch_id, name[1])
        return merged(batch_id, [*self._left[name], present])

    def _archived(self, batch_id: str, present: int | None) -> list[BatchCounts]:
        """Return the counts of the generations that have left the ledger."""
        found = (
            read_left(self._store, generation)
            for generation in generations(self._store, batch_id)
            if generation.opened != present
        )
        return [left.counts for left in found if left is not None]

    def settled(self, batch_id: str) -> Iterator[Document]:
        """Yield a batch's settled documents in the order of settling, each at least once.

        A document that was settled again after a retry may come once more: what comes last counts.
        """
        opened, trimmed, _ = self._reader.settled_page(batch_id, 0, 0, 1)
        for generation in generations(self._store, batch_id):
            if generation.opened != opened:
                yield from self._rest(generation, 0)
        if opened is not None:
            yield from self._present(batch_id, opened, trimmed)

    def _rest(self, generation: Generation, start: int) -> Iterator[Document]:
        """Yield the documents of a generation that has left the ledger, from place `start` on."""
        left = read_left(self._store, generation)
        places = None if left is None else left.places
        return read_documents(self._store, generation, places=places, start=start)

    def _present(self, batch_id: str, opened: int, trimmed: int) -> Iterator[Document]:
        """Yield the documents of the generation that the ledger knows; they may leave it meanwhile."""
        position = 0
        while True:
            if position < trimmed:
                if (generation := self._generation(batch_id, opened)) is not None:
                    yield from read_documents(self._store, generation, places=trimmed, start=position)
                position = trimmed
            before = opened, trimmed
            now, trimmed, ids = self._reader.settled_page(batch_id, position, trimmed, PAGE)
            documents = self._reader.documents(ids) if (now, trimmed) == before else []
            now, trimmed, _ = self._reader.settled_page(batch_id, position, trimmed, 1)
            if now != opened:
                if (generation := self._generation(batch_id, opened)) is not None:
                    yield from self._rest(generation, position)
                return
            if (now, trimmed) != before:
                continue
            if not ids:
                return
            yield from (one for one in documents if one is not None and one.state.final)
            position += len(ids)

    def _generation(self, batch_id: str, opened: int) -> Generation | None:
        found = generations(self._store, batch_id)
        return next((generation for generation in found if generation.opened == opened), None)

    def document(self, batch_id: str, document_id: str) -> Document | None:
        """Return a document, open or settled; None if neither the ledger nor the archive knows it in that batch."""
        found = self._reader.document(document_id)
        if found is not None:
            return found if found.batch == batch_id else None
        # What has left the ledger by now is in the archive.
        for one in self._archived_documents(batch_id):
            if one.document_id == document_id:
                found = one
        return found

    def archived(self, batch_id: str) -> set[str]:
        """Return the ids of a batch's archived documents."""
        return {document.document_id for document in self._archived_documents(batch_id)}

    def _archived_documents(self, batch_id: str) -> Iterator[Document]:
        for generation in generations(self._store, batch_id):
            yield from read_documents(self._store, generation)


def batch_counts(ledger: Ledger, batch_id: str) -> BatchCounts:
    """Return a batch's counts from the ledger and, if FLEET_STORE_URL is set, from the archive.

    Raises:
        UsageError: neither knows the batch.
        SettingsError: FLEET_STORE_URL cannot be used.
        ServerError: the server does not answer.
        StorageError: the store does not answer.
    """
    config = ledger.config
    counts = (
        History(ledger, ObjectStore.of(config)).counts(batch_id)
        if config.store_url
        else ledger.batch(batch_id)
    )
    if not counts.total:
        known = (
            "" if config.store_url else "; an archived one is found if FLEET_STORE_URL names the object store"
        )
        raise UsageError(f"There is no batch {batch_id}: `fleet status` lists those of the ledger{known}.")
    return counts


def merged(batch_id: str, generations: Sequence[BatchCounts]) -> BatchCounts:
    """Return the counts of a batch over its generations, oldest first."""
    errors: Counter[str] = Counter()
    for counts in generations:
        errors.update(counts.errors)
    finished = [counts.finished for counts in generations]
    return BatchCounts(
        batch_id=batch_id,
        total=sum(counts.total for counts in generations),
        succeeded=sum(counts.succeeded for counts in generations),
        failed=sum(counts.failed for counts in generations),
        quarantined=sum(counts.quarantined for counts in generations),
        duplicates=sum(counts.duplicates for counts in generations),
        errors=dict(errors),
        opened=generations[0].opened if generations else None,
        finished=finished[-1] if generations else None,
    )
