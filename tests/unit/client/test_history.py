"""Queries over the ledger and the archive, while documents leave the one for the other."""

from collections.abc import Callable
from contextlib import suppress

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from app.client.history import History, batch_counts
from app.config import Settings
from app.errors import UsageError
from app.ledger import archive as archive_module
from app.ledger.archive import Archive
from app.ledger.ledger import Ledger
from app.ledger.models import BatchCounts, Document, Outcome, State
from app.ledger.reader import Reader
from app.queues import Queue
from app.storage.store import ObjectStore
from tests.unit.ledger.conftest import Batch, Clock

ACTIONS = ["open", "settle", "quarantine", "retry", "drop", "archive", "die", "freeze"]
SUCCESS = Outcome(state=State.SUCCEEDED)
QUARANTINED = Outcome(state=State.QUARANTINED, error="worker_lost")


def die() -> None:
    raise KeyboardInterrupt


class Fleet:
    """A ledger, its archive, and one batch."""

    def __init__(self, client: redis.Redis) -> None:
        self.clock = Clock()
        self.ledger = Ledger(client, Settings(key_prefix="t:", archive_after_seconds=100.0), self.clock)
        self.store = ObjectStore("memory://", timeout_seconds=5.0)
        self.batch = Batch(self.ledger, batch_id="b")
        self.history = History(self.ledger, self.store)

    def settle(self, ids: list[str], outcome: Outcome = SUCCESS) -> None:
        for document_id in ids:
            document = self.ledger.start(document_id, queue=Queue.PDF, worker="w")
            assert isinstance(document, Document)
            assert self.ledger.settle(document, outcome, token=f"w/{self.clock()}")

    def archive(self, seconds: float = 10.0) -> int:
        self.clock.now += 101
        return Archive(self.ledger, self.store).run(seconds)

    def interrupted(self, step: int, act: Callable[[], object]) -> None:
        """Archive, and call `act` before the archiver's n-th step."""
        real = Archive._step
        steps: list[str] = []

        def acting(archive: Archive, name: str, *arguments: object) -> int:
            steps.append(name)
            if len(steps) == step:
                act()
            return real(archive, name, *arguments)

        with pytest.MonkeyPatch.context() as patch, suppress(KeyboardInterrupt):
            patch.setattr(Archive, "_step", acting)
            self.archive()

    def taken_over(self) -> None:
        """Archive while another archiver is frozen, whose lease has expired."""
        self.ledger.client.delete(self.ledger.keys.archive)
        Archive(self.ledger, self.store).run(10.0)

    def settled(self) -> list[str]:
        return [document.document_id for document in self.history.settled("b")]


@pytest.fixture
def fleet(client: redis.Redis) -> Fleet:
    return Fleet(client)


def test_a_batch_that_nobody_knows_has_no_documents(fleet: Fleet) -> None:
    assert fleet.history.counts("b") == BatchCounts(batch_id="b")
    assert fleet.settled() == []
    assert fleet.history.document("b", "x") is None
    assert fleet.history.archived("b") == set()


def test_a_batch_reads_the_same_wherever_it_is(fleet: Fleet) -> None:
    ids = fleet.batch.open(5)
    fleet.settle(ids)
    counts, documents = fleet.history.counts("b"), list(fleet.history.settled("b"))
    assert [document.document_id for document in documents] == ids
    assert fleet.archive() == 5
    assert fleet.ledger.batches() == []
    assert fleet.history.counts("b") == counts
    assert list(fleet.history.settled("b")) == documents
    assert fleet.history.document("b", ids[2]) == documents[2]
    assert fleet.history.document("other", ids[2]) is None


def test_a_batch_that_has_left_in_part_is_whole(fleet: Fleet) -> None:
    first = fleet.batch.open(3)
    fleet.settle(first)
    fleet.archive()
    second = fleet.batch.open(3)
    fleet.settle(second[:2])
    assert fleet.settled() == [*first, *second[:2]]
    counts = fleet.history.counts("b")
    assert (counts.total, counts.succeeded, counts.done) == (6, 5, False)
    open_one = fleet.history.document("b", second[2])
    assert open_one is not None
    assert open_one.state is State.QUEUED
    assert fleet.history.archived("b") == set(first)


def test_the_counts_of_all_generations_are_added(fleet: Fleet) -> None:
    failed = Outcome(state=State.FAILED, error="empty")
    for outcome in (SUCCESS, failed, failed):
        fleet.settle(fleet.batch.open(2), outcome)
        fleet.archive()
        assert fleet.history.counts("b").done
    fleet.settle(fleet.batch.open(1))
    counts = fleet.history.counts("b")
    assert (counts.total, counts.succeeded, counts.failed, counts.errors) == (7, 3, 4, {"empty": 4})
    assert counts.opened == 1_000.0
    assert counts.done


def test_the_last_line_of_a_retried_document_counts(fleet: Fleet) -> None:
    (poison,) = fleet.batch.open()
    fleet.settle([poison], QUARANTINED)
    fleet.archive()
    quarantined = fleet.history.document("b", poison)
    assert quarantined is not None
    assert quarantined.state is State.QUARANTINED
    assert fleet.ledger.retry(quarantined)
    fleet.settle([poison])
    fleet.archive()
    assert [document.state.value for document in fleet.history.settled("b")] == ["quarantined", "succeeded"]
    found = fleet.history.document("b", poison)
    assert found is not None
    assert found.state is State.SUCCEEDED
    counts = fleet.history.counts("b")
    assert (counts.total, counts.succeeded, counts.quarantined) == (1, 1, 0)


@pytest.mark.parametrize("call", range(1, 9))
@pytest.mark.parametrize("seconds", [0.0, 10.0])
def test_what_leaves_while_it_is_read_is_read_once(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, call: int, seconds: float
) -> None:
    """The archive runs before one of the reader's requests: for all of the batch, or one part of it."""
    monkeypatch.setattr("app.client.history.PAGE", 3)
    monkeypatch.setattr(archive_module, "PART", 4)
    ids = fleet.batch.open(10)
    fleet.settle(ids)
    calls: list[str] = []

    def interrupted(name: str) -> None:
        real = getattr(Reader, name)

        def wrapped(self: Reader, *args: object) -> object:
            calls.append(name)
            if len(calls) == call:
                calls.extend("archive" for _ in range(100))
                fleet.archive(seconds)
            return real(self, *args)

        monkeypatch.setattr(Reader, name, wrapped)

    interrupted("settled_page")
    interrupted("documents")
    assert fleet.settled() == ids
    assert "archive" in calls


@given(data=st.data())
def test_any_history_reads_as_it_happened(valkey_url: str, data: st.DataObject) -> None:
    """Documents take any way, in any order, and archivers die or freeze."""
    with (
        redis.Redis.from_url(valkey_url, decode_responses=True) as client,
        pytest.MonkeyPatch.context() as patch,
    ):
        client.flushall()
        patch.setattr(archive_module, "PART", 3)
        patch.setattr(archive_module, "SLICE", 2)
        patch.setattr("app.client.history.PAGE", 2)
        fleet = Fleet(client)
        opened: set[str] = set()
        states: dict[str, str] = {}
        quarantined: set[str] = set()
        for _ in range(data.draw(st.integers(3, 12), "actions")):
            action = data.draw(st.sampled_from(ACTIONS))
            fleet.clock.now += 1
            if action == "open":
                opened |= set(fleet.batch.open(data.draw(st.integers(1, 4))))
            elif action in {"settle", "quarantine"} and opened:
                chosen = data.draw(st.sampled_from(sorted(opened)))
                opened.remove(chosen)
                outcome = SUCCESS if action == "settle" else QUARANTINED
                fleet.settle([chosen], outcome)
                states[chosen] = outcome.state.value
                quarantined |= {chosen} if action == "quarantine" else set()
            elif action in {"retry", "drop"} and quarantined:
                chosen = data.draw(st.sampled_from(sorted(quarantined)))
                quarantined.remove(chosen)
                document = fleet.ledger.document(chosen)
                assert document is not None, "whoever decides needs its entry"
                assert getattr(fleet.ledger, action)(document)
                if action == "retry":
                    opened.add(chosen)
                    del states[chosen]
            elif action == "archive":
                fleet.archive(data.draw(st.sampled_from([0.0, 10.0])))
            elif action in {"die", "freeze"}:
                step = data.draw(st.integers(1, 4), "step")
                fleet.interrupted(step, fleet.taken_over if action == "freeze" else die)
            counts = fleet.history.counts("b")
            assert (counts.total, counts.settled) == (len(opened) + len(states), len(states))
            last = {one.document_id: one.state.value for one in fleet.history.settled("b")}
            assert {one: last[one] for one in states} == states
            assert last.keys() - states.keys() <= opened, "a retried one may be told as it was"
            assert set(fleet.ledger.quarantined()) == quarantined
        fleet.archive()
        fleet.archive()
        held = {one for one in states if fleet.ledger.document(one) is not None}
        assert held == quarantined, "nothing else stays"
        assert (fleet.ledger.batches() == []) == (not opened and not quarantined)


def test_fleet_status_says_where_it_looked(fleet: Fleet) -> None:
    with pytest.raises(UsageError, match="if FLEET_STORE_URL names"):
        batch_counts(fleet.ledger, "b")
