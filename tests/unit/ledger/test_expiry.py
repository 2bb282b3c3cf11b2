"""What the end of retention removes from the archive, and what it leaves."""

import time

import pytest

from app.ledger.archive import Archive
from app.ledger.archived import ROOT, counts_key, part_key
from app.ledger.expiry import expire
from app.ledger.ledger import Ledger
from app.ledger.models import Document, Outcome, State
from app.queues import Queue
from app.storage.layout import original_key
from app.storage.store import ObjectStore
from tests.unit.ledger.conftest import Batch, Clock


@pytest.fixture
def clock() -> Clock:
    """The store has a clock of its own."""
    return Clock(time.time())


def archived(ledger: Ledger, batch: Batch, clock: Clock, store: ObjectStore, documents: int = 2) -> list[str]:
    """Archive a batch; return the keys of its objects."""
    for document_id in batch.open(documents):
        document = ledger.start(document_id, queue=Queue.PDF, worker="w")
        assert isinstance(document, Document)
        ledger.settle(document, Outcome(state=State.SUCCEEDED), token="w/1")
    clock.now += 101
    Archive(ledger, store).run(10.0)
    assert ledger.batches() == []
    return store.keys(f"{ROOT}/{batch.batch_id}")


def test_a_batch_that_left_long_ago_is_removed(
    ledger: Ledger, batch: Batch, clock: Clock, store: ObjectStore
) -> None:
    assert len(archived(ledger, batch, clock, store)) == 2
    clock.now += 850
    assert expire(ledger, store, 10.0) == 0
    clock.now += 50
    assert expire(ledger, store, 10.0) == 1
    assert store.keys() == []


def test_nothing_but_the_archive_is_removed(ledger: Ledger, clock: Clock, store: ObjectStore) -> None:
    batch = Batch(ledger, batch_id=ROOT)
    original = original_key(batch.batch_id, "0d884bd2-dabf-4876-a014-99d5dde0342b")
    store.put(original, b"%PDF")
    store.put("other", b"x")
    archived(ledger, batch, clock, store)
    clock.now += 2_000
    assert expire(ledger, store, 10.0) == 1
    assert store.keys() == [original, "other"]


def test_a_batch_that_is_still_in_the_ledger_stays(
    ledger: Ledger, batch: Batch, clock: Clock, store: ObjectStore
) -> None:
    batch.open()
    opened = int(ledger.client.hget(ledger.keys.batch(batch.batch_id), "opened"))
    part = part_key(batch.batch_id, opened, 0, 1, "f" * 8)
    store.put(part, b"null\n")
    clock.now += 2_000
    assert expire(ledger, store, 10.0) == 0, "it has no counts"
    # An archiver died before its last step, and a document was opened.
    store.put(counts_key(batch.batch_id, opened), b"{}")
    assert expire(ledger, store, 10.0) == 0
    assert len(store.keys()) == 2


def test_what_there_was_no_time_for_is_removed_the_next_time(
    ledger: Ledger, clock: Clock, store: ObjectStore
) -> None:
    for _ in range(2):
        archived(ledger, Batch(ledger), clock, store)
    clock.now += 2_000
    assert expire(ledger, store, 0.0) == 0
    assert expire(ledger, store, 10.0) == 2
