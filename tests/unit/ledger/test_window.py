"""The fair order of a queue, its window of messages, pauses, and the workers that are being stopped."""

from collections.abc import Callable, Iterator
from itertools import pairwise

import msgspec
import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from app.config import Settings
from app.ledger.ledger import Ledger
from app.ledger.message import document_id_of
from app.ledger.models import Advance, Document, Outcome, State
from app.queues import Queue
from tests.unit.ledger.conftest import Batch, Clock

SUCCESS = Outcome(state=State.SUCCEEDED)
QUARANTINE = Outcome(state=State.QUARANTINED, error="worker_lost")


@pytest.fixture
def ledger(client: redis.Redis, clock: Clock) -> Ledger:
    return Ledger(client, Settings(key_prefix="t:"), clock)


def take(ledger: Ledger) -> str:
    """Take the next message from the queue, and return its document."""
    raw = ledger.client.blmove("pdf", "t:taken:pdf:w", 1, "RIGHT", "LEFT")
    found = document_id_of(raw)
    assert found is not None
    return found


def start(ledger: Ledger, document_id: str, worker: str = "w") -> Document:
    document = ledger.start(document_id, queue=Queue.PDF, worker=worker)
    assert isinstance(document, Document)
    return document


def drain(ledger: Ledger) -> Iterator[str]:
    """Process every document, and yield their ids in the order in which they were taken."""
    while ledger.client.llen("pdf"):
        document_id = take(ledger)
        yield document_id
        ledger.settle(start(ledger, document_id), SUCCESS, token="w/1")


def test_the_queue_holds_a_window_and_the_ledger_the_backlog(ledger: Ledger, batch: Batch) -> None:
    ids = batch.open(1_000)
    assert ledger.client.llen("pdf") == 16
    assert ledger.client.zcard("t:open:pdf") == 1_000
    assert ledger.depths([Queue.PDF])[Queue.PDF].waiting == 1_000
    assert list(drain(ledger)) == ids, "each once, in the order of opening"
    assert ledger.client.zcard("t:open:pdf") == 0
    assert ledger.batch(batch.batch_id).done


def test_the_window_grows_with_the_running_documents(ledger: Ledger, batch: Batch) -> None:
    batch.open(1_000)
    for _ in range(50):
        start(ledger, take(ledger), worker="many")
    assert 50 <= ledger.client.llen("pdf") <= 100


def test_all_puts_every_document_on_the_queue(client: redis.Redis, clock: Clock) -> None:
    batch = Batch(Ledger(client, Settings(key_prefix="t:", window="all"), clock))
    batch.open(2_500)
    assert client.llen("pdf") == 2_500


def test_a_small_batch_is_not_stuck_behind_a_flood(ledger: Ledger) -> None:
    Batch(ledger).open(1_000)
    small = set(Batch(ledger).open(10))
    order = list(drain(ledger))
    last = max(place for place, document_id in enumerate(order) if document_id in small)
    assert last < 16 + 2 * 10, "behind the window, and then in turn"


def test_an_express_document_goes_before_every_other_that_waits(ledger: Ledger) -> None:
    Batch(ledger).open(1_000)
    express = Batch(ledger).open(3, express=True)
    assert list(drain(ledger))[16:19] == express


def test_a_weight_is_a_share_of_the_queue(ledger: Ledger) -> None:
    Batch(ledger).open(400)
    heavy = set(Batch(ledger).open(300, weight=3))
    order = list(drain(ledger))[16:216]
    assert sum(document_id in heavy for document_id in order) == pytest.approx(150, abs=2)


def test_a_batch_that_was_idle_has_saved_up_nothing(ledger: Ledger) -> None:
    first = Batch(ledger)
    first.open(100)
    second = Batch(ledger)
    second.open(1)
    list(drain(ledger))
    rest, late = set(first.open(50)), set(second.open(50))
    order = list(drain(ledger))[16:56]
    assert sum(document_id in late for document_id in order) == pytest.approx(20, abs=17)
    assert {*order} <= rest | late


def advanced(ledger: Ledger, ids: list[str]) -> None:
    for document_id in ids:
        assert ledger.advance(start(ledger, document_id), Advance(queue=Queue.OCR, summary=b"{}"))


def test_a_lane_is_alike_in_the_next_queue(client: redis.Redis, clock: Clock) -> None:
    ledger = Ledger(client, Settings(key_prefix="t:", window="1"), clock)
    plain, heavy, urgent = (
        Batch(ledger).open(60, weight=weight, express=express)
        for weight, express in ((1, False), (3, False), (1, True))
    )
    advanced(ledger, [*plain, *heavy, *urgent[:10]])
    order = client.zrange("t:open:ocr", 0, -1)[1:]  # the first was sent before the others came
    assert order[:10] == urgent[:10]
    assert sum(document_id in heavy for document_id in order[10:50]) == pytest.approx(30, abs=2)


@given(counts=st.lists(st.integers(1, 12), min_size=1, max_size=5), weights=st.data())
def test_no_lane_gets_ahead_of_its_share(valkey_url: str, counts: list[int], weights: st.DataObject) -> None:
    with redis.Redis.from_url(valkey_url, decode_responses=True) as client:
        client.flushall()
        ledger = Ledger(client, Settings(key_prefix="t:", window="1"), Clock())
        blocker = Batch(ledger).open(1)  # fills the window, so that all lanes wait when the first is sent
        lanes = {}
        shares = {}
        for count in counts:
            batch = Batch(ledger)
            shares[batch.batch_id] = weights.draw(st.integers(1, 5))
            for document_id in batch.open(count, weight=shares[batch.batch_id]):
                lanes[document_id] = batch.batch_id
        order = [lanes[document_id] for document_id in drain(ledger) if document_id not in blocker]
    assert sorted(order) == sorted(lanes.values())
    waiting = dict.fromkeys(shares, 0)
    for lane in order:
        waiting[lane] += 1
    served = dict.fromkeys(shares, 0)
    for lane in order:
        served[lane] += 1
        behind = [served[other] / shares[other] for other in shares if served[other] < waiting[other]]
        if behind:
            assert served[lane] / shares[lane] <= min(behind) + 1 / shares[lane] + 1 + 1e-9


def test_a_document_that_pauses_counts_for_nothing_and_comes_back_when_it_is_due(
    ledger: Ledger, batch: Batch, clock: Clock
) -> None:
    (document_id,) = batch.open()
    document = start(ledger, take(ledger))
    ledger.defer(document, code="storage_unavailable", message="away", pause=45.0)
    depth = ledger.depths([Queue.PDF])[Queue.PDF]
    assert (depth.waiting, depth.running, depth.delayed) == (0, 0, 1)
    clock.now += 44.9
    ledger.fill(Queue.PDF)
    assert ledger.client.llen("pdf") == 0
    clock.now += 0.2
    ledger.fill(Queue.PDF)
    assert take(ledger) == document_id
    again = start(ledger, document_id)
    assert (again.attempts, again.retries) == (1, 1), "a retry is no attempt"


def test_a_requeued_document_is_next_in_line(ledger: Ledger, batch: Batch) -> None:
    batch.open(100)
    document = start(ledger, take(ledger))
    assert ledger.requeue(document, code="interrupted", message="stopped")
    while ledger.client.llen("pdf"):
        take(ledger)
    ledger.fill(Queue.PDF)
    assert take(ledger) == document.document_id


def test_an_ending_worker_needs_no_replacement(ledger: Ledger, batch: Batch) -> None:
    ids = batch.open(3)
    documents = [start(ledger, take(ledger), worker="w") for _ in ids]
    ledger.end_worker(Queue.PDF, "w", ids[:2])
    depth = ledger.depths([Queue.PDF])[Queue.PDF]
    assert (depth.waiting, depth.running, depth.ending) == (0, 1, 2)
    assert ledger.settle(documents[0], SUCCESS, token="w/1"), "it may finish"
    assert ledger.requeue(documents[1], code="interrupted", message="stopped"), "or give up"
    depth = ledger.depths([Queue.PDF])[Queue.PDF]
    assert (depth.waiting, depth.running, depth.ending) == (1, 1, 0)


def test_refunds_have_a_bound_of_their_own(client: redis.Redis, clock: Clock) -> None:
    ledger = Ledger(client, Settings(key_prefix="t:", max_interruptions=2, max_attempts=3), clock)
    (document_id,) = Batch(ledger).open()
    for attempts in (0, 0, 1, 2, 3):
        start(ledger, document_id)
        assert ledger.requeue_lost(document_id, Queue.PDF, "w", refund=True)
        document = ledger.document(document_id)
        assert document is not None
        assert document.attempts == attempts
    assert ledger.start(document_id, queue=Queue.PDF, worker="w") == "exhausted"


def test_a_start_repeated_after_a_lost_reply_counts_once(ledger: Ledger, batch: Batch) -> None:
    (document_id,) = batch.open()
    assert [start(ledger, document_id).attempts for _ in range(2)] == [1, 1]


@pytest.mark.parametrize("overdue", [False, True])
def test_a_second_message_may_start_a_document_that_pauses_and_starts_it_once(
    ledger: Ledger, batch: Batch, clock: Clock, overdue: bool
) -> None:
    (document_id,) = batch.open()
    ledger.defer(start(ledger, take(ledger), "a"), code="storage_unavailable", message="away", pause=10.0)
    clock.now += 11 if overdue else 0
    document = start(ledger, document_id, "b")
    depth = ledger.depths([Queue.PDF])[Queue.PDF]
    assert (depth.waiting, depth.running, depth.delayed) == (0, 1, 0)
    clock.now += 11
    ledger.fill(Queue.PDF)
    assert ledger.client.llen("pdf") == 0
    assert ledger.settle(document, SUCCESS, token="b/1")
    depth = ledger.depths([Queue.PDF])[Queue.PDF]
    assert (depth.waiting, depth.running, depth.delayed) == (0, 0, 0)


def test_a_second_message_does_not_start_what_a_worker_that_is_being_stopped_still_has(
    ledger: Ledger, batch: Batch
) -> None:
    (document_id,) = batch.open()
    document = start(ledger, take(ledger), "a")
    ledger.end_worker(Queue.PDF, "a", [document_id])
    assert ledger.start(document_id, queue=Queue.PDF, worker="b") == "running"
    assert ledger.settle(document, SUCCESS, token="a/1")
    depth = ledger.depths([Queue.PDF])[Queue.PDF]
    assert (depth.waiting, depth.running, depth.ending) == (0, 0, 0)


TOUCHED = {
    "open": (
        "t:events",
        "t:open:pdf",
        "t:running:pdf",
        "pdf",
        "t:lanes:pdf",
        "t:templates",
        "t:due:pdf",
        "t:batch:{batch}",
    ),
    "start": ("t:open:pdf", "t:running:pdf", "pdf", "t:lanes:pdf", "t:templates", "t:due:pdf"),
    "settle": (
        "t:events",
        "t:open:pdf",
        "t:running:pdf",
        "t:lanes:pdf",
        "t:service:pdf",
        "t:settled:{batch}",
        "t:batch:{batch}",
    ),
    "defer": (
        "t:open:pdf",
        "t:running:pdf",
        "pdf",
        "t:lanes:pdf",
        "t:templates",
        "t:due:pdf",
        "t:ending:pdf",
        "t:counts",
        "t:events",
    ),
    "advance": (
        "t:events",
        "t:open:pdf",
        "t:open:ocr",
        "t:running:pdf",
        "t:ending:pdf",
        "ocr",
        "t:lanes:ocr",
        "t:service:pdf",
        "t:templates",
        "t:due:pdf",
        "t:batch:{batch}",
    ),
    "quarantine": ("t:quarantine",),
    "retry": (
        "t:events",
        "t:open:pdf",
        "pdf",
        "t:lanes:pdf",
        "t:templates",
        "t:due:pdf",
        "t:quarantine",
        "t:batch:{batch}",
    ),
    "resend": ("t:open:pdf", "t:running:pdf", "pdf", "t:lanes:pdf", "t:templates", "t:due:pdf", "t:counts"),
    "leave": ("pdf", "t:taken:pdf:w", "t:counts", "t:running:pdf"),
    "end": ("t:running:pdf", "t:ending:pdf", "t:open:pdf"),
}
"""The keys that each step writes, or may write, besides the document's."""


@pytest.mark.parametrize(("step", "key"), [(step, key) for step, keys in TOUCHED.items() for key in keys])
def test_a_step_that_meets_a_key_of_a_wrong_type_writes_nothing(
    ledger: Ledger, batch: Batch, key: str, step: str
) -> None:
    document = start(ledger, batch.open()[0])  # its batch ends with it
    if step == "retry":
        ledger.settle(document, QUARANTINE, token="w/1")
    waiting, *_ = Batch(ledger).open(100)
    take(ledger)
    raw = ledger.client.lindex("t:taken:pdf:w", 0)
    ledger.client.delete("pdf")  # so that each step has a window to fill
    name = key.format(batch=batch.batch_id)
    ledger.client.delete(name)
    ledger.client.lpush(name, "x") if "service" in name else ledger.client.set(name, "x")
    before = dump(ledger)
    steps: dict[str, Callable[[], object]] = {
        "open": lambda: Batch(ledger, batch.batch_id).open(3),
        "start": lambda: ledger.start(waiting, queue=Queue.PDF, worker="w"),
        "settle": lambda: ledger.settle(document, SUCCESS, token="w/1"),
        "defer": lambda: ledger.defer(document, code="x", message="x", pause=1.0),
        "advance": lambda: ledger.advance(document, Advance(queue=Queue.OCR, summary=b"{}")),
        "quarantine": lambda: ledger.settle(document, QUARANTINE, token="w/1"),
        "retry": lambda: ledger.retry(document),
        "resend": lambda: ledger.run("resend", *ledger.filling(Queue.PDF), waiting),
        "leave": lambda: ledger.run("leave", "pdf", "t:taken:pdf:w", raw, "", raw, "returned"),
        "end": lambda: ledger.end_worker(Queue.PDF, "w", [document.document_id]),
    }
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        steps[step]()
    assert dump(ledger) == before


def dump(ledger: Ledger) -> dict[str, bytes]:
    client = ledger.client
    return {key: client.execute_command("DUMP", key, NEVER_DECODE=True) for key in client.keys("*")}


def test_a_chunk_of_the_largest_size_is_opened_whole(client: redis.Redis, clock: Clock) -> None:
    field = next(one for one in msgspec.inspect.type_info(Settings).fields if one.name == "flood_chunk")  # type: ignore[attr-defined]
    limit = field.type.le
    ledger = Ledger(client, Settings(key_prefix="t:", flood_chunk=limit), clock)
    batch = Batch(ledger)
    assert len(batch.open(limit + 100)) == limit + 100
    assert ledger.batch(batch.batch_id).total == ledger.client.zcard("t:open:pdf") == limit + 100


def test_the_order_of_sending_is_the_order_of_the_open_set(ledger: Ledger, batch: Batch) -> None:
    ids = batch.open(40)
    places = [ledger.client.zscore("t:open:pdf", document_id) for document_id in ids]
    assert all(place < 0 for place in places[:16])
    assert all(before < after for before, after in pairwise(places[16:]))


@pytest.mark.parametrize("end", ["settle", "advance"])
def test_a_late_end_takes_a_document_out_of_its_pause(
    ledger: Ledger, batch: Batch, clock: Clock, end: str
) -> None:
    (document_id,) = batch.open()
    first = start(ledger, take(ledger), worker="a")
    ledger.requeue_lost(document_id, Queue.PDF, "a", refund=False)
    second = start(ledger, document_id, worker="b")
    ledger.defer(second, code="storage_unavailable", message="away", pause=1.0)
    if end == "settle":
        assert ledger.settle(first, SUCCESS, token="a/1")
    else:
        assert ledger.advance(first, Advance(queue=Queue.OCR, summary=b"{}"))
    clock.now += 2
    ledger.fill(Queue.PDF)
    depth = ledger.depths([Queue.PDF])[Queue.PDF]
    assert (depth.waiting, depth.delayed) == (0, 0)
