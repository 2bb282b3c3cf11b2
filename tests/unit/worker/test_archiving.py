"""When beat sends the task that archives."""

from collections.abc import Iterator
from itertools import pairwise

import pytest
import redis

from app.config import Settings
from app.ledger.ledger import Ledger
from app.ledger.models import Document, Outcome, State
from app.queues import Queue, TaskName
from app.worker.archiving import PAUSE_SECONDS, ArchiveCaller
from tests.unit.ledger.conftest import Batch, Clock


class Beat:
    """A beat that ticks once a second, with a queue that nobody takes from."""

    def __init__(self, client: redis.Redis, **settings: float) -> None:
        self.clock = Clock()
        values = {"archive_after_seconds": 100.0, **settings}
        self.ledger = Ledger(client, Settings(key_prefix="t:", **values), self.clock)  # type: ignore[arg-type]
        self.sent: list[float] = []
        self._client = client
        self._caller = ArchiveCaller(self.ledger, self._send, self.clock)

    def _send(self, task: TaskName) -> None:
        self.sent.append(self.clock.now)
        self._client.lpush("default", f'{{"headers": {{"task": "{task.value}"}}}}')

    def settle(self, count: int = 1) -> None:
        for document_id in Batch(self.ledger).open(count):
            document = self.ledger.start(document_id, queue=Queue.PDF, worker="w")
            assert isinstance(document, Document)
            self.ledger.settle(document, Outcome(state=State.SUCCEEDED), token="w/1")

    def tick(self, seconds: int, *, taken: bool = True) -> list[float]:
        """Tick for a while, and return when a task was sent since; `taken`: workers do each at once."""
        before = len(self.sent)
        for _ in range(seconds):
            self.clock.now += 1
            self._caller.call()
            if taken:
                self._client.delete("default")
        return self.sent[before:]


@pytest.fixture
def beat(client: redis.Redis) -> Iterator[Beat]:
    yield Beat(client)
    client.config_set("maxmemory", 0)


def test_nothing_is_sent_for_nothing(beat: Beat) -> None:
    Batch(beat.ledger).open()
    beat.settle()
    assert beat.tick(99) == []


def test_the_task_is_sent_when_something_is_due_and_not_more_often_than_each_minute(beat: Beat) -> None:
    beat.settle()
    sent = beat.tick(400)
    assert 1_100 <= sent[0] <= 1_111
    assert all(after - before >= PAUSE_SECONDS for before, after in pairwise(sent))
    assert len(sent) >= 4, "nobody has archived it"


def test_a_long_stay_is_looked_at_less_often(client: redis.Redis) -> None:
    beat = Beat(client, archive_after_seconds=3_600.0)
    beat.settle()
    assert len(beat.tick(3_600 + 730)) == 3


def test_under_pressure_it_is_sent_every_ten_seconds(beat: Beat, client: redis.Redis) -> None:
    beat.settle()
    client.config_set("maxmemory", int(client.info("memory")["used_memory"] * 1.5))
    sent = beat.tick(100)
    assert sent[0] == pytest.approx(1_060, abs=10)
    assert [after - before for before, after in pairwise(sent)] == [pytest.approx(10, abs=1)] * (
        len(sent) - 1
    )
    assert len(sent) >= 3


def test_no_second_task_is_sent_while_one_waits_or_runs(beat: Beat, client: redis.Redis) -> None:
    beat.settle()
    assert len(beat.tick(400, taken=False)) == 1
    beat.ledger.report_presence(Queue.DEFAULT, "d", [])
    assert client.lmove("default", "t:taken:default:d")
    assert beat.tick(400, taken=False) == [], "a worker has it"
    client.delete("t:taken:default:d")
    client.lpush("default", '{"headers": {"task": "ledger.reconcile"}}')
    assert len(beat.tick(100, taken=False)) == 1
