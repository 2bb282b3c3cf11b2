"""The archiver: it moves settled documents, and then finished batches, from the ledger into the object store.

Each move stores an object first, and then a step removes from the ledger what the object holds. The step looks again:
it keeps a document that was opened or settled again meanwhile, and does nothing if another archiver holds the lease.
An archiver that dies between the two leaves an object that counts for nothing, and the next one removes it.
"""

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from app.ledger.archive_due import Limits, due_batches, limits
from app.ledger.archived import Left, Store, counts_key, encode_line, folder, parse, part_key
from app.ledger.lease import Lease
from app.ledger.record import decode_batch, micros
from app.runtime import heartbeat

if TYPE_CHECKING:
    from app.ledger.ledger import Ledger
    from app.ledger.models import Document

PART = 5_000
"""Most places of one object."""
SLICE = 500
"""Places that one step removes: a few milliseconds of the server."""
LEASE_SECONDS = 60.0
"""How long an archiver that died keeps others waiting; each part renews the lease."""


class Archive:
    """Archives what is due; safe to run in several processes, of which one at a time works.

    Args:
        ledger: The ledger.
        store: Gets the objects.
        batch_seconds: Least age of a finished batch that leaves, under pressure too; None: that of documents.
    """

    def __init__(self, ledger: "Ledger", store: Store, *, batch_seconds: float | None = None) -> None:
        self._ledger = ledger
        self._store = store
        self._batch_seconds = batch_seconds
        self._lease = Lease(ledger.client, ledger.keys.archive, LEASE_SECONDS)

    def run(self, seconds: float) -> int:
        """Archive until nothing is due any more, or until `seconds` have passed; return how many documents left.

        Raises:
            ServerError: the server does not answer.
            StorageError: the store failed.
        """
        end = time.monotonic() + seconds
        gone, again = 0, True
        try:
            while again and self._lease.hold():
                found = limits(self._ledger, batch_seconds=self._batch_seconds)
                moved, again = self._pass(found, end)
                gone += moved
        finally:
            self._lease.release()
        return gone

    def _pass(self, found: Limits, end: float) -> tuple[int, bool]:
        """Archive what is due by some limits; return how many documents left, and whether the limits have changed."""
        gone = 0
        for batch_id in due_batches(self._ledger, found):
            while (moved := self._move_part(batch_id, found)) is not None:
                gone += moved
                heartbeat.beat()
                if time.monotonic() >= end:
                    return gone, False
                if found.pressed and not limits(self._ledger).pressed:
                    return gone, True
            self._retire(batch_id, found)
            heartbeat.beat()
            if time.monotonic() >= end or not self._lease.held:
                break
        return gone, False

    def _move_part(self, batch_id: str, found: Limits) -> int | None:
        """Archive the head of a batch's list; return how many documents left, or None if nothing is due any more."""
        if not self._lease.hold():
            return None
        ledger, keys = self._ledger, self._ledger.keys
        with ledger.client.pipeline() as pipe:
            pipe.hmget(keys.batch(batch_id), "opened", "trimmed")
            pipe.lrange(keys.settled(batch_id), 0, PART - 1)
            (opened, trimmed), listed = pipe.execute()
        if opened is None:
            return None
        position = int(trimmed or 0)
        lines, places = self._read(listed, found)
        if not places:
            return None
        self._remove_leftovers(batch_id, int(opened), position)
        key = part_key(batch_id, int(opened), position, len(places), self._lease.token)
        self._store.put(key, b"".join(lines))
        gone = 0
        for start in range(0, len(places), SLICE):
            chosen = places[start : start + SLICE]
            arguments = [word for place in chosen for word in place]
            reply = int(self._step("archive", batch_id, opened, position + start, *arguments))
            if reply < 0:
                if start == 0:
                    self._store.delete(key)  # another archiver has stored these
                return None
            gone += reply
        return gone

    def _read(self, listed: list[str], found: Limits) -> tuple[list[bytes], list[tuple[str, int | str]]]:
        """Return the lines of the head of a list that is due, and the document and time of each place."""
        lines: list[bytes] = []
        places: list[tuple[str, int | str]] = []
        for start in range(0, len(listed), SLICE):
            names = listed[start : start + SLICE]
            for document_id, document in zip(names, self._ledger.documents(names), strict=True):
                settled = _settled(document)
                if settled is not None and settled > found.documents:
                    return lines, places
                lines.append(encode_line(document if settled is not None else None))
                places.append((document_id, "" if settled is None else settled))
        return lines, places

    def _remove_leftovers(self, batch_id: str, opened: int, position: int) -> None:
        """Remove the parts that an archiver stored from `position` on before it died; it has lost the lease."""
        for key in self._store.keys(folder(batch_id, opened)):
            named = parse(key)
            if named is not None and named.part is not None and named.part.position >= position:
                self._store.delete(key)

    def _retire(self, batch_id: str, found: Limits) -> None:
        """Archive a batch's counts if all of it is archived and was finished before the limit."""
        ledger, keys = self._ledger, self._ledger.keys
        with ledger.client.pipeline() as pipe:
            pipe.hgetall(keys.batch(batch_id))
            pipe.llen(keys.settled(batch_id))
            fields, listed = pipe.execute()
        finished = fields.get("finished")
        if listed or finished is None or int(finished) > found.batches or int(fields.get("kept", 0)):
            return
        if not self._lease.hold():
            return
        left = Left(counts=decode_batch(batch_id, fields), places=int(fields.get("trimmed", 0)))
        self._store.put(counts_key(batch_id, int(fields["opened"])), msgspec.json.encode(left))
        self._step("retire", batch_id, fields["opened"], finished)

    def _step(self, name: str, *arguments: "Iterable[object] | object") -> int:
        return int(self._ledger.run(name, self._lease.token, *arguments))


def _settled(document: "Document | None") -> int | None:
    """Return when a document was settled (us); None if it is open again, or its entry has left the ledger already."""
    if document is None or not document.state.final or document.finished is None:
        return None
    return micros(document.finished)
