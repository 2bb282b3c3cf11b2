"""What is due for the archive: settled documents and finished batches of some age, or of little under pressure."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec

from app.ledger.record import micros

if TYPE_CHECKING:
    from app.ledger.ledger import Ledger

PRESSED_SECONDS = 60.0
"""Age from which settled documents are due under pressure: who polls the ledger for them has seen them by then, and a
step that opened them is no longer repeated after a lost reply."""
PAGE = 500
"""Batches examined in one round trip."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The times (us) up to which documents were settled, and batches finished, that are due."""

    pressed: bool
    documents: int
    batches: int


def limits(ledger: "Ledger", *, batch_seconds: float | None = None) -> Limits:
    """Return the limits at this moment.

    Args:
        ledger: The ledger.
        batch_seconds: Least age of a finished batch that is due, under pressure too; None: that of documents.
    """
    pressed = under_pressure(ledger)
    age = ledger.config.archive_after_seconds
    if pressed:
        age = min(age, PRESSED_SECONDS)
    now = ledger.clock()
    return Limits(
        pressed=pressed, documents=micros(now - age), batches=micros(now - max(age, batch_seconds or 0.0))
    )


def under_pressure(ledger: "Ledger") -> bool:
    """Return whether the server's memory or the number of settled documents asks for room."""
    memory = ledger.client.info("memory")
    most = int(memory.get("maxmemory", 0))
    if most and int(memory["used_memory"]) > ledger.config.archive_above_memory * most:
        return True
    return ledger.settled_held() > ledger.config.settled_documents


def due_batches(ledger: "Ledger", limits: Limits) -> Iterator[str]:
    """Yield the batches of which something is due; batches may leave meanwhile."""
    for batches in _pages(ledger):
        yield from _due(ledger, batches, limits)


def _pages(ledger: "Ledger") -> Iterator[list[str]]:
    cursor = 0
    while True:
        cursor, page = ledger.client.zscan(ledger.keys.batches, cursor, count=PAGE)
        if page:
            yield [batch_id for batch_id, _ in page]
        if cursor == 0:
            return


def _due(ledger: "Ledger", batches: Sequence[str], limits: Limits) -> list[str]:
    client, keys = ledger.client, ledger.keys
    with client.pipeline(transaction=False) as pipe:
        for batch_id in batches:
            pipe.hmget(keys.batch(batch_id), "finished", "kept")
            pipe.lindex(keys.settled(batch_id), 0)
        replies = pipe.execute()
    ends, heads = replies[::2], replies[1::2]
    with client.pipeline(transaction=False) as pipe:
        for head in heads:
            if head is not None:
                pipe.hget(keys.document(head), "f")
        settled = iter(pipe.execute())
    due = []
    for batch_id, (finished, kept), head in zip(batches, ends, heads, strict=True):
        if head is not None:
            # Without a time the document was opened again: its place is empty.
            at = next(settled)
            ready = at is None or int(at) <= limits.documents
        else:
            ready = finished is not None and int(finished) <= limits.batches and not int(kept or 0)
        if ready:
            due.append(batch_id)
    return due
