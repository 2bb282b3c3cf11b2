import msgspec
import pytest
import redis

from app.documents.models import ResultKind
from app.ledger.ledger import Ledger
from app.ledger.message import document_id_of, new_id
from app.ledger.models import Advance, Document, Outcome, ServiceTimes, State, Submission
from app.queues import Queue
from tests.unit.ledger.conftest import Batch, Clock

SUCCESS = Outcome(state=State.SUCCEEDED, summary=b'{"pages":2}', results=(ResultKind.TEXT,))
FAILURE = Outcome(state=State.FAILED, error="malformed", message="damaged")


def started(ledger: Ledger, document_id: str, *, queue: Queue = Queue.PDF, worker: str = "w") -> Document:
    document = ledger.start(document_id, queue=queue, worker=worker)
    assert isinstance(document, Document)
    return document


def known(ledger: Ledger, document_id: str) -> Document:
    document = ledger.document(document_id)
    assert document is not None
    return document


def test_opening_puts_the_document_and_its_message_in_place(
    ledger: Ledger, batch: Batch, client: redis.Redis
) -> None:
    (document_id,) = batch.open(password="secret")
    document = known(ledger, document_id)
    assert (document.state, document.queue, document.opened) == (State.QUEUED, "pdf", 1_000.0)
    assert document.options.password == "secret"
    assert client.llen("pdf") == 1
    assert client.zcard("t:open:pdf") == 1
    assert ledger.batch(batch.batch_id).total == 1


def test_a_document_is_kept_in_its_entry_and_in_the_open_set_alone(batch: Batch, client: redis.Redis) -> None:
    ids = batch.open(50)
    others = {key for key in map(str, client.keys("*")) if not key.startswith("t:doc:")}
    assert others == {
        *("pdf", "t:open:pdf", "t:lanes:pdf", "t:templates"),
        *("t:batches", f"t:batch:{batch.batch_id}", "t:events"),
    }
    assert client.zcard("t:open:pdf") == len(ids)


def test_opening_again_after_a_lost_reply_changes_nothing(
    ledger: Ledger, batch: Batch, client: redis.Redis
) -> None:
    one = Submission(document_id=new_id(), source="a")
    for _ in range(2):
        opened = ledger.open(batch.batch_id, Queue.PDF, [one])
    assert opened == 0
    assert client.llen("pdf") == 1
    assert ledger.batch(batch.batch_id).total == 1


def test_a_flood_larger_than_a_chunk_is_opened_whole(batch: Batch, client: redis.Redis) -> None:
    ids = batch.open(100)
    assert client.llen("pdf") == 100
    sent = [document_id_of(raw) for raw in map(str, client.lrange("pdf", 0, -1))]
    assert sent[::-1] == ids, "in the order of opening"


def test_the_first_settlement_counts_and_the_second_is_a_duplicate(ledger: Ledger, batch: Batch) -> None:
    (document_id,) = batch.open()
    document = started(ledger, document_id)
    assert ledger.settle(document, SUCCESS, token="w/1")
    assert not ledger.settle(document, FAILURE, token="v/1")
    settled = known(ledger, document_id)
    assert (settled.state, settled.error) == (State.SUCCEEDED, None)
    counts = ledger.batch(batch.batch_id)
    assert (counts.succeeded, counts.failed, counts.duplicates) == (1, 0, 1)
    assert counts.done
    assert ledger.settled(batch.batch_id) == [document_id]


def test_the_same_settlement_repeated_after_a_lost_reply_is_no_duplicate(
    ledger: Ledger, batch: Batch
) -> None:
    (document_id,) = batch.open()
    document = started(ledger, document_id)
    assert ledger.settle(document, SUCCESS, token="w/1")
    assert ledger.settle(document, SUCCESS, token="w/1")
    counts = ledger.batch(batch.batch_id)
    assert (counts.settled, counts.duplicates) == (1, 0)


def test_a_password_is_forgotten_when_the_document_is_settled(
    ledger: Ledger, batch: Batch, client: redis.Redis
) -> None:
    (document_id,) = batch.open(password="secret")
    document = started(ledger, document_id)
    assert "secret" not in repr(document)
    ledger.settle(document, SUCCESS, token="w/1")
    assert "secret" not in str(client.hgetall(f"t:doc:{document_id}"))


def test_attempts_are_counted_before_the_work_and_run_out(ledger: Ledger, batch: Batch) -> None:
    (document_id,) = batch.open()
    for attempt in (1, 2, 3):
        document = started(ledger, document_id)
        assert document.attempts == attempt
        assert ledger.requeue(document, code="internal_error", message="x", refund=False)
    assert ledger.start(document_id, queue=Queue.PDF, worker="w") == "exhausted"


def test_an_attempt_that_failed_through_no_fault_of_the_document_is_refunded(
    ledger: Ledger, batch: Batch
) -> None:
    (document_id,) = batch.open()
    for _ in range(5):
        document = started(ledger, document_id)
        assert ledger.defer(document, code="storage_full", message="full", pause=0.0)
        ledger.fill(Queue.PDF)
    assert known(ledger, document_id).attempts == 0
    assert known(ledger, document_id).last_error == "storage_full"
    assert known(ledger, document_id).retries == 5


def test_only_the_worker_that_has_it_may_requeue(ledger: Ledger, batch: Batch) -> None:
    (document_id,) = batch.open()
    late = started(ledger, document_id, worker="late")
    assert ledger.requeue_lost(document_id, Queue.PDF, "late", refund=False)
    started(ledger, document_id, worker="other")
    assert not ledger.requeue(late, code="x", message="x")
    assert known(ledger, document_id).state is State.RUNNING


@pytest.mark.parametrize(
    ("prepare", "answer"),
    [("nothing", "unknown"), ("settle", "final"), ("advance", "advanced"), ("run", "running")],
)
def test_what_must_not_be_worked_on_is_not_started(
    ledger: Ledger, batch: Batch, prepare: str, answer: str
) -> None:
    (document_id,) = batch.open()
    document = started(ledger, document_id)
    if prepare == "settle":
        ledger.settle(document, SUCCESS, token="w/1")
    elif prepare == "advance":
        ledger.advance(document, Advance(queue=Queue.OCR, summary=b"{}"))
    elif prepare == "nothing":
        document_id = new_id()
    assert ledger.start(document_id, queue=Queue.PDF, worker="v") == answer


def test_advancing_moves_the_document_and_its_message_together(
    ledger: Ledger, batch: Batch, client: redis.Redis, clock: Clock
) -> None:
    (document_id,) = batch.open()
    document = started(ledger, document_id)
    clock.now += 5
    end = Advance(queue=Queue.OCR, summary=b'{"pages":1}', results=(ResultKind.TEXT,))
    assert ledger.advance(document, end)
    assert not ledger.advance(document, Advance(queue=Queue.OCR, summary=b"{}"))
    assert client.zcard("t:open:pdf") == 0
    assert client.zcard("t:open:ocr") == 1
    assert [document_id_of(raw) for raw in map(str, client.lrange("ocr", 0, -1))] == [document_id]
    again = started(ledger, document_id, queue=Queue.OCR)
    assert (again.attempts, again.attempts_before, again.starts) == (1, 1, 1)
    assert again.results == (ResultKind.TEXT,)
    assert again.advanced == 1_005.0
    assert msgspec.json.decode(again.summary) == {"pages": 1}


def test_a_settled_document_tells_when_each_of_its_passes_was_started(
    ledger: Ledger, batch: Batch, clock: Clock
) -> None:
    (document_id,) = batch.open()
    first = started(ledger, document_id)
    clock.now += 5
    ledger.advance(first, Advance(queue=Queue.OCR, summary=b"{}"))
    clock.now += 7
    ledger.settle(started(ledger, document_id, queue=Queue.OCR), SUCCESS, token="w/1")
    document = known(ledger, document_id)
    assert (document.started, document.advanced, document.attempt_started) == (1_000.0, 1_005.0, 1_012.0)


def test_a_quarantined_document_can_be_sent_again(ledger: Ledger, batch: Batch, client: redis.Redis) -> None:
    (document_id,) = batch.open()
    outcome = Outcome(state=State.QUARANTINED, error="worker_lost", message="killed three")
    ledger.settle(started(ledger, document_id), outcome, token="w/1")
    assert ledger.quarantined() == [document_id]
    client.delete("pdf")
    document = known(ledger, document_id)
    assert ledger.retry(document)
    assert not ledger.retry(document)
    assert client.llen("pdf") == 1
    counts = ledger.batch(batch.batch_id)
    assert (counts.quarantined, counts.errors, counts.done) == (0, {}, False)
    assert ledger.settle(started(ledger, document_id), SUCCESS, token="w/2")
    assert ledger.batch(batch.batch_id).done
    assert ledger.settled(batch.batch_id) == [document_id] * 2, "once more after the retry"


def test_a_retry_costs_the_same_however_many_documents_are_settled(
    ledger: Ledger, batch: Batch, client: redis.Redis
) -> None:
    (document_id,) = batch.open()
    outcome = Outcome(state=State.QUARANTINED, error="worker_lost")
    ledger.settle(started(ledger, document_id), outcome, token="w/1")
    client.rpush(f"t:settled:{batch.batch_id}", *range(1_000))
    document = known(ledger, document_id)
    client.config_resetstat()
    assert ledger.retry(document)
    over_a_list = {f"cmdstat_{name}" for name in ("lrem", "lrange", "lpos", "linsert", "lindex")}
    assert not over_a_list & client.info("commandstats").keys()


def test_a_dropped_document_leaves_the_quarantine_and_stays_settled(ledger: Ledger, batch: Batch) -> None:
    (document_id,) = batch.open()
    ledger.settle(
        started(ledger, document_id), Outcome(state=State.QUARANTINED, error="worker_lost"), token="w/1"
    )
    assert ledger.drop(known(ledger, document_id))
    assert ledger.quarantined() == []
    assert ledger.batch(batch.batch_id).quarantined == 1
    assert not ledger.retry(known(ledger, document_id)), "an open document must not expire"


def test_depths_are_what_keda_measures(
    ledger: Ledger, batch: Batch, client: redis.Redis, clock: Clock
) -> None:
    ids = batch.open(4)
    started(ledger, ids[0])
    client.lpush("default", "{}")
    clock.now += 4
    depth = ledger.depths([Queue.PDF, Queue.OCR, Queue.DEFAULT])
    assert (depth[Queue.PDF].waiting, depth[Queue.PDF].running) == (3, 1)
    assert depth[Queue.DEFAULT].waiting == 1, "its tasks keep no ledger"
    assert depth[Queue.PDF].oldest_wait_seconds == pytest.approx(4)
    assert (depth[Queue.OCR].waiting, depth[Queue.OCR].oldest_wait_seconds) == (0, 0.0)


def test_every_key_begins_with_the_prefix_or_is_a_queue(
    ledger: Ledger, batch: Batch, client: redis.Redis
) -> None:
    first, second = batch.open(2)
    ledger.settle(started(ledger, first), SUCCESS, token="w/1")
    ledger.settle(started(ledger, second), Outcome(state=State.QUARANTINED, error="x"), token="w/1")
    ledger.report_presence(Queue.PDF, "w", [])
    strangers = {key for key in map(str, client.keys("*")) if not key.startswith("t:")}
    assert strangers <= {queue.value for queue in Queue}


def test_service_times_are_measured_for_each_queue(ledger: Ledger, batch: Batch, clock: Clock) -> None:
    assert ledger.times([Queue.PDF])[Queue.PDF] == ServiceTimes()
    ids = batch.open(20)
    clock.now += 3  # the wait
    for number, document_id in enumerate(ids):
        document = started(ledger, document_id)
        before = clock.now
        clock.now += 70.0 if number == 0 else 0.2
        if number == 0:
            ledger.advance(document, Advance(queue=Queue.OCR, summary=b"{}"))
        else:
            ledger.settle(document, SUCCESS, token=f"w/{number}")
        clock.now = before
    times = ledger.times([Queue.PDF, Queue.OCR])
    assert times[Queue.OCR] == ServiceTimes()
    found = times[Queue.PDF]
    assert (found.passes, ledger.depths([Queue.PDF])[Queue.PDF].done) == (20, 20)
    assert found.mean_wait_seconds == pytest.approx(3.0)
    assert found.mean_work_seconds == pytest.approx((70 + 19 * 0.2) / 20)
    assert (found.wait_p50_seconds, found.work_p50_seconds, found.work_p95_seconds) == (5.0, 0.25, 0.25)


def test_a_percentile_above_every_bound_of_the_histogram_has_none(
    ledger: Ledger, batch: Batch, clock: Clock
) -> None:
    document = started(ledger, *batch.open())
    clock.now += 61.0
    ledger.settle(document, SUCCESS, token="w/1")
    assert ledger.times([Queue.PDF])[Queue.PDF].work_p50_seconds is None
