import pytest
import redis

from app.ledger.ledger import Ledger
from app.ledger.models import Document, Outcome, State
from app.ledger.retention import forget_expired
from app.queues import Queue
from tests.unit.ledger.conftest import Batch, Clock

QUARANTINED = Outcome(state=State.QUARANTINED, error="worker_lost")


def settle(ledger: Ledger, document_id: str, outcome: Outcome) -> Document:
    document = ledger.start(document_id, queue=Queue.PDF, worker="w")
    assert isinstance(document, Document)
    assert ledger.settle(document, outcome, token="w/1")
    return document


def test_a_finished_batch_is_forgotten_after_its_retention(
    ledger: Ledger, batch: Batch, client: redis.Redis, clock: Clock
) -> None:
    for document_id in batch.open(3):
        settle(ledger, document_id, Outcome(state=State.SUCCEEDED))
    clock.now += 99
    assert forget_expired(ledger) == 0
    clock.now += 2
    assert [forget_expired(ledger, most=2) for _ in range(2)] == [3, 0]
    left = set(map(str, client.keys("t:*")))
    assert left <= {"t:service:pdf", "t:templates", "t:lanes:pdf", "t:events"}, "nothing of a batch is left"


def test_an_open_batch_keeps_its_counts_whatever_its_age(
    ledger: Ledger, batch: Batch, client: redis.Redis, clock: Clock
) -> None:
    first, second = batch.open(2)
    settle(ledger, first, Outcome(state=State.SUCCEEDED))
    clock.now += 1_000
    assert forget_expired(ledger) == 1
    assert client.exists(f"t:doc:{first}", f"t:doc:{second}") == 1
    settle(ledger, second, Outcome(state=State.SUCCEEDED))
    assert forget_expired(ledger) == 0, "it is finished only now"
    assert ledger.batch(batch.batch_id).succeeded == 2


def test_a_batch_stays_until_somebody_has_decided_about_its_quarantine(
    ledger: Ledger, batch: Batch, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.ledger.retention.CHUNK", 2)
    *others, last = batch.open(5)
    for document_id in others:
        settle(ledger, document_id, Outcome(state=State.SUCCEEDED))
    document = settle(ledger, last, QUARANTINED)
    clock.now += 1_000
    assert forget_expired(ledger) == 4
    assert ledger.quarantined() == [last]
    assert ledger.drop(document)
    assert forget_expired(ledger) == 1
    assert ledger.batches() == []


def test_a_document_that_was_sent_again_is_forgotten_with_its_batch(
    ledger: Ledger, batch: Batch, clock: Clock
) -> None:
    (document_id,) = batch.open(1)
    settle(ledger, document_id, QUARANTINED)
    found = ledger.document(document_id)
    assert found is not None
    assert ledger.retry(found)
    clock.now += 1_000
    assert forget_expired(ledger) == 0
    settle(ledger, document_id, Outcome(state=State.SUCCEEDED))
    clock.now += 101
    assert forget_expired(ledger) == 1
