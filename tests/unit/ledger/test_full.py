"""A server whose memory is used up: what opens documents is refused in time, and all other steps still run."""

from collections.abc import Callable, Iterator

import pytest
import redis

from app.errors import ServerFullError
from app.ledger.archive import Archive
from app.ledger.archive_due import PRESSED_SECONDS
from app.ledger.ledger import Ledger
from app.ledger.message import new_id
from app.ledger.models import Advance, Document, Outcome, State, Submission
from app.queues import Queue
from app.storage.store import ObjectStore
from tests.unit.ledger.conftest import Batch, Clock

SOURCE = "x" * 4_000
"""A long name: a document of some size, compared with the server's buffers."""


@pytest.fixture
def limit(client: redis.Redis) -> Iterator[Callable[[float], None]]:
    """Sets maxmemory so that a share of it is in use; 0: no limit."""

    def set_limit(share: float) -> None:
        used = int(client.info("memory")["used_memory"])
        client.config_set("maxmemory", int(used / share) if share else 0)

    yield set_limit
    client.config_set("maxmemory", 0)


def documents(count: int) -> list[Submission]:
    return [Submission(document_id=new_id(), source=SOURCE) for _ in range(count)]


class Recorder:
    """Counts refusals, and acts at each."""

    def __init__(self, act: Callable[[int], None]) -> None:
        self.refusals = 0
        self.chunks: list[int] = []
        self._act = act

    def refused(self, error: ServerFullError) -> None:
        self.refusals += 1
        assert self.refusals < 50, error
        self._act(self.refusals)

    def opened(self, documents: int) -> None:
        self.chunks.append(documents)


def test_a_server_in_use_up_to_the_share_opens_nothing_and_writes_nothing(
    ledger: Ledger, client: redis.Redis, limit: Callable[[float], None]
) -> None:
    limit(0.8)
    with pytest.raises(ServerFullError) as refused:
        ledger.open("b", Queue.PDF, documents(3))
    assert "the limit for new ones is 75%" in refused.value.message
    assert "maxmemory" in refused.value.message
    assert client.keys() == []


@pytest.mark.parametrize("share", [0.5, 0.0])
def test_a_server_with_room_or_without_a_limit_opens_documents(
    ledger: Ledger, limit: Callable[[float], None], share: float
) -> None:
    limit(share)
    assert ledger.open("b", Queue.PDF, documents(3)) == 3


def test_documents_that_are_open_already_are_no_reason_to_refuse(
    ledger: Ledger, limit: Callable[[float], None]
) -> None:
    chosen = documents(3)
    ledger.open("b", Queue.PDF, chosen)
    limit(0.99)
    assert ledger.open("b", Queue.PDF, chosen) == 0, "a chunk sent again after a lost reply"


def test_a_flood_that_fills_the_server_goes_on_when_there_is_room_and_opens_each_document_once(
    ledger: Ledger, client: redis.Redis, limit: Callable[[float], None]
) -> None:
    limit(0.7)
    chosen = documents(300)
    full = Recorder(lambda _count: limit(0.0))
    assert ledger.open("b", Queue.PDF, chosen, when_full=full) == 300
    assert full.refusals == 1
    assert sum(full.chunks) == 300
    assert ledger.batch("b").total == 300
    assert set(client.zrange("t:open:pdf", 0, -1)) == {one.document_id for one in chosen}


def test_a_flood_goes_on_only_when_there_is_room_for_more_than_a_chunk(
    ledger: Ledger, limit: Callable[[float], None]
) -> None:
    shares = {1: 0.73, 2: 0.5}
    limit(0.76)
    full = Recorder(lambda count: limit(shares[count]))
    assert ledger.open("b", Queue.PDF, documents(3), when_full=full) == 3
    assert full.refusals == 2, "73 % is below the limit for new documents, but not by much"


def test_a_server_without_any_memory_runs_every_step_but_open(
    ledger: Ledger, batch: Batch, limit: Callable[[float], None], store: ObjectStore, clock: Clock
) -> None:
    client = ledger.client
    one, two, three, four = batch.open(4)
    limit(2.0)
    with pytest.raises(redis.exceptions.OutOfMemoryError):
        client.set("x", "y")

    def start(document_id: str, queue: Queue = Queue.PDF) -> Document:
        document = ledger.start(document_id, queue=queue, worker="w@host/1.a")
        assert isinstance(document, Document)
        return document

    ledger.report_presence(Queue.PDF, "w@host/1.a", [one])
    assert ledger.settle(start(one), Outcome(state=State.SUCCEEDED, summary=b"{}"), token="w/1")
    assert ledger.advance(start(two), Advance(queue=Queue.OCR, summary=b"{}"))
    assert ledger.settle(start(two, Queue.OCR), Outcome(state=State.SUCCEEDED), token="w/1")
    assert ledger.defer(start(three), code="x", message="x", pause=0.0)
    ledger.fill(Queue.PDF)
    assert ledger.requeue(start(three), code="x", message="x")
    quarantined = start(four)
    assert ledger.settle(quarantined, Outcome(state=State.QUARANTINED, error="x"), token="w/1")
    assert ledger.retry(quarantined)
    assert ledger.drop(quarantined) is False
    assert Archive(ledger, store).run(10.0) == 0, "nothing is old enough"
    clock.now += PRESSED_SECONDS + 1
    assert Archive(ledger, store).run(10.0) == 2, "a server without memory is under pressure"
    start(four)
    ledger.end_worker(Queue.PDF, "w@host/1.a", [four])
    ledger.forget_workers(Queue.PDF, "w@host/1")
    assert client.hgetall("t:workers:pdf") == {"w@host/1.a": "0"}
    assert ledger.requeue_lost(four, Queue.PDF, "w@host/1.a", refund=True)
    with pytest.raises(ServerFullError):
        batch.open()


def test_what_is_open_counts_with_the_memory_that_its_results_will_take(
    ledger: Ledger, batch: Batch, limit: Callable[[float], None]
) -> None:
    batch.open(3_000)
    limit(0.72)
    with pytest.raises(ServerFullError):
        batch.open()
    ledger.client.delete("t:open:pdf")
    limit(0.72)
    assert batch.open()


def test_a_batch_does_not_leave_while_a_flood_waits_to_add_to_it(
    ledger: Ledger, clock: Clock, limit: Callable[[float], None], store: ObjectStore
) -> None:
    (first, *others) = documents(8)
    ledger.open("b", Queue.PDF, [first])
    document = ledger.start(first.document_id, queue=Queue.PDF, worker="w")
    assert isinstance(document, Document)
    ledger.settle(document, Outcome(state=State.SUCCEEDED), token="w/1")
    limit(0.8)
    clock.now += 99
    with pytest.raises(ServerFullError):
        ledger.open("b", Queue.PDF, others)
    clock.now += 99
    limit(0.0)
    archive = Archive(ledger, store)
    assert archive.run(10.0) == 1, "its documents leave"
    assert ledger.batch("b").succeeded == 1, "and its counts have the whole time once more"
    clock.now += 2
    archive.run(10.0)
    assert ledger.batch("b").total == 0
