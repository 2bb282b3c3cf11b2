import json

import pytest
import redis
from redis.exceptions import ConnectionError as RedisConnectionError

from app.config import Settings
from app.ledger.ledger import Ledger
from app.ledger.message import document_id_of
from app.ledger.models import Advance, Document, Outcome, State
from app.ledger.reconcile import Findings, Reconciler
from app.queues import Queue
from tests.unit.ledger.conftest import Batch, Clock


class Passes:
    """A reconciler that has been in contact with the server for long, and the findings of its passes."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self.ledger = ledger
        self.clock = clock
        self.reconciler = Reconciler(ledger, clock=clock)
        self.idle(31)

    def __call__(self) -> Findings:
        """Make one pass, and return the findings in the queue pdf."""
        return self.reconciler.reconcile()[Queue.PDF]

    def idle(self, seconds: float) -> None:
        """Let time pass, with a pass every 10 s."""
        self()
        while seconds > 0:
            self.clock.now += min(seconds, 10.0)
            seconds -= 10.0
            self()


@pytest.fixture
def reconcile(ledger: Ledger, clock: Clock) -> Passes:
    return Passes(ledger, clock)


def report(ledger: Ledger, clock: Clock, worker: str, *documents: str) -> None:
    """Report a worker's presence at the test's time."""
    ledger.client.hset("t:workers:pdf", worker, f"{clock.now} {' '.join(documents)}")


def take(ledger: Ledger, worker: str = "a/1") -> str:
    raw = ledger.client.lmove("pdf", f"t:taken:pdf:{worker}", "RIGHT", "LEFT")
    assert isinstance(raw, str)
    found = document_id_of(raw)
    assert found is not None
    return found


def started(ledger: Ledger, document_id: str, worker: str = "a/1") -> Document:
    document = ledger.start(document_id, queue=Queue.PDF, worker=worker)
    assert isinstance(document, Document)
    ledger.client.delete(f"t:taken:pdf:{worker}")
    return document


def next_id(client: redis.Redis) -> str | None:
    """Return the document of the message that is next; the message stays where it is."""
    raw = client.lindex("pdf", -1)
    assert isinstance(raw, str)
    return document_id_of(raw)


def test_nothing_is_found_while_everything_is_in_its_place(
    ledger: Ledger, batch: Batch, clock: Clock, reconcile: Passes
) -> None:
    batch.open(5)
    document_id = take(ledger)
    started(ledger, document_id)
    taken = take(ledger, "b/1")
    for _ in range(10):
        clock.now += 9
        report(ledger, clock, "a/1", document_id)
        report(ledger, clock, "b/1")
        assert not reconcile().any
    assert ledger.client.llen("t:taken:pdf:b/1") == 1, taken


def test_a_message_that_vanished_is_sent_again(
    batch: Batch, client: redis.Redis, clock: Clock, reconcile: Passes
) -> None:
    batch.open(3)
    lost = document_id_of(str(client.rpop("pdf")))
    clock.now += 19
    assert reconcile().lost == 0, "a young one may be on its way"
    clock.now += 2
    assert reconcile().lost == 1
    assert lost in [document_id_of(raw) for raw in map(str, client.lrange("pdf", 0, -1))]
    assert reconcile().lost == 0
    assert client.llen("pdf") == 3
    assert client.hget("t:counts", "resent") == "1"


def test_a_whole_queue_that_vanished_is_sent_again(
    batch: Batch, client: redis.Redis, clock: Clock, reconcile: Passes
) -> None:
    ids = batch.open(30)
    client.delete("pdf")
    clock.now += 21
    assert reconcile().lost == 30
    assert {document_id_of(raw) for raw in map(str, client.lrange("pdf", 0, -1))} == set(ids)


def test_a_dead_workers_document_is_requeued_and_next(
    ledger: Ledger, batch: Batch, client: redis.Redis, clock: Clock, reconcile: Passes
) -> None:
    batch.open(3)
    document_id = take(ledger)
    started(ledger, document_id)
    report(ledger, clock, "a/1", document_id)
    reconcile.idle(29)
    assert ledger.depths([Queue.PDF])[Queue.PDF].running == 1
    clock.now += 2
    assert reconcile().orphaned == 1
    assert next_id(client) != document_id, "the window was full"
    for _ in range(2):
        take(ledger, "b/1")
    assert take(ledger, "b/1") == document_id
    assert client.hgetall("t:running:pdf") == {}
    assert "a/1" not in client.hgetall("t:workers:pdf")


def test_a_worker_that_its_owner_saw_end_is_not_waited_for(
    ledger: Ledger, batch: Batch, clock: Clock, reconcile: Passes
) -> None:
    batch.open(1)
    started(ledger, take(ledger, "pdf-1@host/77.a"), "pdf-1@host/77.a")
    report(ledger, clock, "pdf-1@host/77.a")
    ledger.forget_workers(Queue.PDF, "pdf-1@host/77")
    assert reconcile().orphaned == 1


def test_a_message_that_a_dead_worker_took_is_returned_and_next(
    ledger: Ledger, batch: Batch, client: redis.Redis, clock: Clock, reconcile: Passes
) -> None:
    batch.open(3)
    document_id = take(ledger)
    report(ledger, clock, "a/1")
    reconcile.idle(29)
    assert client.llen("t:taken:pdf:a/1") == 1
    clock.now += 2
    found = reconcile()
    assert (found.returned, found.lost) == (1, 0)
    assert next_id(client) == document_id
    raw = json.loads(str(client.lindex("pdf", -1)))
    assert raw["headers"]["redelivered"] is True
    assert client.exists("t:taken:pdf:a/1") == 0


def test_a_plain_task_of_a_dead_worker_is_returned_and_no_longer_runs(
    ledger: Ledger, client: redis.Redis, clock: Clock, reconcile: Passes
) -> None:
    raw = {"headers": {"id": "x", "task": "math.add"}, "properties": {"delivery_info": {}}}
    client.lpush("t:taken:pdf:a/1", json.dumps(raw))
    client.hset("t:running:pdf", "tag", "a/1")
    report(ledger, clock, "a/1")
    reconcile.idle(29)
    assert client.hlen("t:running:pdf") == 1
    clock.now += 2
    assert reconcile().returned == 1
    assert client.llen("pdf") == 1
    assert client.hlen("t:running:pdf") == 0


def test_a_document_that_its_live_worker_no_longer_works_on_is_requeued_after_a_further_report(
    ledger: Ledger, batch: Batch, clock: Clock, reconcile: Passes
) -> None:
    batch.open(1)
    document_id = take(ledger)
    report(ledger, clock, "a/1")
    started(ledger, document_id)
    clock.now += 5
    assert not reconcile().any, "it was started after the report"
    clock.now += 5
    report(ledger, clock, "a/1")
    assert reconcile().orphaned == 1
    document = ledger.document(document_id)
    assert document is not None
    assert document.attempts == 1, "the worker is to blame or the document: it counts"


def test_a_long_document_in_progress_on_a_live_worker_stays_there(
    ledger: Ledger, batch: Batch, clock: Clock, reconcile: Passes
) -> None:
    batch.open(1)
    document_id = take(ledger)
    started(ledger, document_id)
    for _ in range(50):
        clock.now += 10
        report(ledger, clock, "a/1", document_id)
        assert not reconcile().any


def test_workers_get_time_to_report_after_an_absence_of_the_server(
    ledger: Ledger, batch: Batch, clock: Clock, reconcile: Passes
) -> None:
    batch.open(1)
    document_id = take(ledger)
    started(ledger, document_id)
    report(ledger, clock, "a/1", document_id)
    clock.now += 240  # nobody could report meanwhile, and the reconciler made no pass
    assert not reconcile().any
    clock.now += 9
    assert not reconcile().any
    report(ledger, clock, "a/1", document_id)
    reconcile.idle(25)
    assert ledger.depths([Queue.PDF])[Queue.PDF].running == 1


def test_a_presence_shorter_than_the_interval_of_passes_is_judged_too(
    client: redis.Redis, clock: Clock
) -> None:
    ledger = Ledger(client, Settings(key_prefix="t:", presence_seconds=6.0), clock)
    batch = Batch(ledger)
    batch.open(1)
    document_id = take(ledger)
    started(ledger, document_id)
    report(ledger, clock, "a/1", document_id)
    reconciler = Reconciler(ledger, clock=clock)
    orphaned = 0
    for _ in range(3):  # as beat does it: a pass every ten seconds, and ticks every two
        orphaned += reconciler.reconcile()[Queue.PDF].orphaned
        for _ in range(5):
            clock.now += 2
            reconciler.see_server()
    assert orphaned == 1


@pytest.mark.parametrize(
    ("worker", "attempts"),
    [
        ("gone/1.a", 0),  # nobody of its host came back: the node is lost, or the pod was removed
        ("pod/1.a", 1),  # its container was restarted: the document may have killed it
        ("pod/1.ending", 0),  # it was being stopped
    ],
)
def test_an_attempt_counts_only_if_the_document_may_have_ended_the_worker(
    batch: Batch, clock: Clock, reconcile: Passes, worker: str, attempts: int
) -> None:
    ledger = batch.ledger
    batch.open(1)
    document_id = take(ledger, worker)
    started(ledger, document_id, worker)
    report(ledger, clock, worker, document_id)
    if worker == "pod/1.ending":
        ledger.end_worker(Queue.PDF, worker, [document_id])
    reconcile.idle(25)
    report(ledger, clock, "pod/1.b")
    reconcile.idle(10)
    depth = ledger.depths([Queue.PDF])[Queue.PDF]
    assert (depth.waiting, depth.running, depth.ending) == (1, 0, 0)
    document = ledger.document(document_id)
    assert document is not None
    assert document.attempts == attempts


@pytest.mark.parametrize("end", ["settle", "advance"])
def test_a_document_that_left_the_queue_is_not_sent_again(
    batch: Batch, client: redis.Redis, clock: Clock, reconcile: Passes, end: str
) -> None:
    ledger = batch.ledger
    batch.open(1)
    document = started(ledger, take(ledger))
    if end == "settle":
        ledger.settle(document, Outcome(state=State.SUCCEEDED), token="a/1/1")
    else:
        ledger.advance(document, Advance(queue=Queue.OCR, summary=b"{}"))
    client.zadd("t:open:pdf", {document.document_id: -8e15})  # as if the step had left it
    clock.now += 100
    found = reconcile()
    assert (found.lost, client.llen("pdf")) == (0, 0)
    assert client.zcard("t:open:pdf") == 0


def test_an_entry_that_is_open_nowhere_is_removed_from_the_open_set_in_the_course_of_time(
    ledger: Ledger, batch: Batch, client: redis.Redis, clock: Clock
) -> None:
    batch.open(50)
    client.zadd("t:open:pdf", {"unknown": 5e9})
    reconciler = Reconciler(ledger, clock=clock, audited=10)
    stale = 0
    for _ in range(20):
        stale += reconciler.reconcile()[Queue.PDF].stale
    assert stale == 1
    assert client.zcard("t:open:pdf") == 50


def test_the_workers_reports_are_by_the_clock_of_the_server(
    ledger: Ledger, batch: Batch, clock: Clock
) -> None:
    batch.open(1)
    document_id = take(ledger)
    started(ledger, document_id)
    ledger.report_presence(Queue.PDF, "a/1", [document_id])
    seconds, _ = ledger.client.time()
    moment, documents = ledger.client.hget("t:workers:pdf", "a/1").split()
    assert seconds - 5 <= float(moment) <= seconds + 1
    assert documents == document_id
    assert clock.now < 10_000, "not that of the caller"


def test_a_loss_among_many_waiting_documents_is_found_without_a_look_at_them(
    ledger: Ledger, clock: Clock, client: redis.Redis
) -> None:
    Batch(ledger).open(3_000)
    reconciler = Reconciler(ledger, clock=clock, audited=100)
    client.delete("pdf")
    clock.now += 21
    client.config_resetstat()
    assert reconciler.reconcile()[Queue.PDF].lost == 100
    called = client.info("commandstats")
    assert called["cmdstat_hgetall"]["calls"] < 3_000
    assert client.llen("pdf") > 0


def test_what_a_pass_costs_does_not_grow_with_the_documents_that_wait(
    clock: Clock, client: redis.Redis
) -> None:
    """bench/ledger.py measures a pass over 1,000,000."""

    def cost(documents: int) -> tuple[int, int]:
        """Return the commands and the bytes of replies of the pass that finds one lost message."""
        client.flushall()
        ledger = Ledger(client, Settings(key_prefix="t:", flood_chunk=2_000), clock)
        Batch(ledger).open(documents)
        client.rpop("pdf")
        clock.now += 21
        reconciler = Reconciler(ledger, clock=clock, audited=1_000)
        client.config_resetstat()
        assert reconciler.reconcile()[Queue.PDF].lost == 1
        commands = client.info("commandstats").values()
        return sum(one["calls"] for one in commands), client.info("stats")["total_net_output_bytes"]

    few, many = cost(3_000), cost(30_000)
    assert many == pytest.approx(few, rel=0.1)
    assert many[1] < 500_000


def test_the_reconciler_is_usable_again_after_a_failure(
    ledger: Ledger, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    reconciler = Reconciler(ledger, clock=clock)

    def fail(*_: object) -> object:
        raise RedisConnectionError

    with monkeypatch.context() as away:
        away.setattr(ledger.client, "hgetall", fail)
        with pytest.raises(RedisConnectionError):
            reconciler.reconcile()
    assert not reconciler.reconcile()[Queue.PDF].any
