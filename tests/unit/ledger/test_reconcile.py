import json
from collections.abc import Callable
from typing import Any

import pytest
import redis

from app.ledger.ledger import Ledger
from app.ledger.message import message
from app.ledger.models import Advance, Document, Outcome, State
from app.ledger.reconcile import Findings, reconcile
from app.queues import Queue
from tests.unit.ledger.conftest import Batch, Clock

Mend = Callable[[], Findings]
"""One poll of the reconciler."""


@pytest.fixture
def mend(ledger: Ledger) -> Mend:
    def run() -> Findings:
        return reconcile(ledger, Queue.PDF)

    return run


def pop(client: redis.Redis) -> dict[str, Any]:
    """Take the oldest message from the queue."""
    raw = client.rpop("pdf")
    assert isinstance(raw, str)
    return dict(json.loads(raw))


def next_id(client: redis.Redis) -> object:
    """Return the document of the newest message, which stays where it is."""
    raw = client.lindex("pdf", 0)
    assert isinstance(raw, str)
    return json.loads(raw)["headers"]["id"]


def started(ledger: Ledger, document_id: str) -> Document:
    document = ledger.start(document_id, queue=Queue.PDF, worker="w1")
    assert isinstance(document, Document)
    return document


def deliver(client: redis.Redis, clock: Clock, prefix: str = "t:") -> str:
    """Deliver the oldest message: BRPOP, then its record in the in-flight hash."""
    raw = pop(client)
    tag = raw["properties"]["delivery_tag"]
    client.hset(f"{prefix}inflight:pdf", tag, json.dumps([raw, "", "pdf"]))
    client.zadd(f"{prefix}inflight-index:pdf", {tag: clock.now})
    return str(raw["headers"]["id"])


def test_nothing_is_mended_while_every_message_is_there(
    batch: Batch, client: redis.Redis, clock: Clock, mend: Mend
) -> None:
    batch.open(5)
    deliver(client, clock)
    clock.now += 25
    assert not mend().any


def test_a_message_lost_between_the_two_steps_is_sent_again_at_the_second_poll(
    batch: Batch, client: redis.Redis, clock: Clock, mend: Mend
) -> None:
    batch.open(3)
    lost = pop(client)["headers"]["id"]
    clock.now += 25
    assert mend().lost == 0
    assert mend().lost == 1
    assert next_id(client) == lost
    assert mend().lost == 0


def test_the_message_of_a_young_document_never_counts_as_lost(
    batch: Batch, client: redis.Redis, clock: Clock, mend: Mend
) -> None:
    batch.open(1)
    client.rpop("pdf")
    clock.now += 19
    assert (mend().lost, mend().lost) == (0, 0)


def test_a_document_found_at_the_second_poll_is_not_sent_again(
    batch: Batch, client: redis.Redis, clock: Clock, mend: Mend
) -> None:
    batch.open(1)
    raw = client.rpop("pdf")
    assert isinstance(raw, str)
    clock.now += 25
    mend()
    client.rpush("pdf", raw)
    assert mend().lost == 0
    assert client.llen("pdf") == 1


def test_a_dead_workers_document_is_requeued_at_once_and_first(
    ledger: Ledger, batch: Batch, client: redis.Redis, clock: Clock, mend: Mend
) -> None:
    batch.open(3)
    document_id = deliver(client, clock)
    started(ledger, document_id)
    assert not mend().any
    ledger.forget_presence("w1")
    assert mend().orphaned == 1
    back = pop(client)
    assert back["headers"]["id"] == document_id
    assert back["headers"]["redelivered"] is True
    assert client.hlen("t:inflight:pdf") == client.zcard("t:inflight-index:pdf") == 0


def test_a_message_that_its_live_worker_no_longer_works_on_is_requeued(
    ledger: Ledger, batch: Batch, client: redis.Redis, clock: Clock, mend: Mend
) -> None:
    batch.open(1)
    document_id = deliver(client, clock)
    ledger.start(document_id, queue=Queue.PDF, worker="w1")
    ledger.report_presence("w1", [])
    clock.now += 29
    assert not mend().any
    clock.now += 2
    ledger.report_presence("w1", [])
    assert mend().orphaned == 1


def test_a_long_document_in_progress_on_a_live_worker_stays_there(
    ledger: Ledger, batch: Batch, client: redis.Redis, clock: Clock, mend: Mend
) -> None:
    batch.open(1)
    document_id = deliver(client, clock)
    ledger.start(document_id, queue=Queue.PDF, worker="w1")
    clock.now += 500
    ledger.report_presence("w1", [document_id])
    assert not mend().any


def test_a_message_delivered_and_never_started_is_requeued(
    batch: Batch, client: redis.Redis, clock: Clock, mend: Mend
) -> None:
    batch.open(1)
    deliver(client, clock)
    clock.now += 29
    assert mend().stuck == 0
    clock.now += 2
    assert mend().stuck == 1
    assert client.llen("pdf") == 1


def test_a_message_that_waits_for_its_retry_is_left_until_that_is_long_due(
    ledger: Ledger, batch: Batch, client: redis.Redis, clock: Clock, mend: Mend
) -> None:
    batch.open(1)
    document_id = deliver(client, clock)
    document = started(ledger, document_id)
    ledger.release(document, code="storage_unavailable", message="away")
    clock.now += 85
    assert not mend().any
    clock.now += 10
    assert mend().stuck == 1


def test_the_message_of_a_settled_document_is_dropped_after_a_while(
    ledger: Ledger, batch: Batch, client: redis.Redis, clock: Clock, mend: Mend
) -> None:
    batch.open(1)
    document_id = deliver(client, clock)
    document = started(ledger, document_id)
    ledger.settle(document, Outcome(state=State.SUCCEEDED), token="w1/1")
    assert not mend().any
    clock.now += 31
    assert mend().stale == 1
    assert client.hlen("t:inflight:pdf") == client.llen("pdf") == 0


def test_a_message_of_another_application_stays_where_it_is(
    client: redis.Redis, clock: Clock, mend: Mend
) -> None:
    raw = {"headers": {"id": "x", "task": "math.add"}, "properties": {"delivery_info": {}}}
    client.hset("t:inflight:pdf", "tag", json.dumps([raw, "", "pdf"]))
    clock.now += 1_000
    assert not mend().any
    assert client.hlen("t:inflight:pdf") == 1


def test_a_duplicate_hides_a_loss_only_until_it_is_done(
    batch: Batch, client: redis.Redis, clock: Clock, mend: Mend
) -> None:
    first, second = batch.open(2)
    client.rpop("pdf")  # first's message is lost
    client.lpush("pdf", message(second, Queue.PDF))
    clock.now += 25
    assert (mend().lost, mend().lost) == (0, 0)
    client.rpop("pdf")
    mend()
    assert mend().lost == 1
    assert next_id(client) == first


def test_a_document_advanced_while_its_message_was_missing_is_not_sent_to_its_old_queue(
    ledger: Ledger, batch: Batch, client: redis.Redis, clock: Clock, mend: Mend
) -> None:
    (document_id,) = batch.open(1)
    client.rpop("pdf")
    clock.now += 25
    mend()
    document = started(ledger, document_id)
    ledger.advance(document, Advance(queue=Queue.OCR, summary=b"{}"))
    assert mend().lost == 0
    assert client.llen("pdf") == 0
