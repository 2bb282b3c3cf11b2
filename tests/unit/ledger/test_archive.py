"""What leaves the ledger for the archive, in which order, and what interrupts it."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
import redis

from app.config import Settings
from app.errors import StorageError
from app.ledger import archive as module
from app.ledger.archive import Archive
from app.ledger.archive_due import PRESSED_SECONDS, due_batches, limits, under_pressure
from app.ledger.archived import (
    ROOT,
    Generation,
    encode_line,
    generations,
    part_key,
    read_documents,
    read_left,
)
from app.ledger.ledger import Ledger
from app.ledger.models import Document, Outcome, State
from app.queues import Queue
from app.storage.store import ObjectStore
from tests.unit.ledger.conftest import Batch, Clock

SUCCESS = Outcome(state=State.SUCCEEDED, summary=b'{"p":2}')
QUARANTINED = Outcome(state=State.QUARANTINED, error="worker_lost", message="It died.")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts and steps of few documents."""
    monkeypatch.setattr(module, "PART", 6)
    monkeypatch.setattr(module, "SLICE", 2)


@pytest.fixture
def archive(ledger: Ledger, store: ObjectStore) -> Archive:
    return Archive(ledger, store)


class Scene(NamedTuple):
    """What most tests use together."""

    ledger: Ledger
    batch: Batch
    archive: Archive
    store: ObjectStore
    clock: Clock


@pytest.fixture
def scene(ledger: Ledger, batch: Batch, archive: Archive, store: ObjectStore, clock: Clock) -> Scene:
    return Scene(ledger, batch, archive, store, clock)


def settle(ledger: Ledger, document_id: str, outcome: Outcome = SUCCESS) -> Document:
    document = ledger.start(document_id, queue=Queue.PDF, worker="w")
    assert isinstance(document, Document)
    assert ledger.settle(document, outcome, token=f"w/{ledger.clock()}")
    found = ledger.document(document_id)
    assert found is not None
    return found


def only(store: ObjectStore, batch: Batch) -> Generation:
    (generation,) = generations(store, batch.batch_id)
    return generation


def states(store: ObjectStore, batch: Batch, **bounds: int) -> list[tuple[str, str]]:
    """Return the id and the state of each line of a batch in the archive."""
    return [
        (one.document_id, one.state.value)
        for generation in generations(store, batch.batch_id)
        for one in read_documents(store, generation, **bounds)
    ]


def test_what_was_settled_long_enough_ago_leaves_and_then_its_batch(
    scene: Scene, client: redis.Redis
) -> None:
    ledger, batch, archive, store, clock = scene
    ids = batch.open(8, password="secret")
    documents = [settle(ledger, document_id) for document_id in ids]
    counts = ledger.batch(batch.batch_id)
    clock.now += 99
    assert (archive.run(10.0), store.keys()) == (0, [])
    clock.now += 2
    assert archive.run(10.0) == 8
    assert list(read_documents(store, only(store, batch))) == documents
    assert [(part.position, part.places) for part in only(store, batch).parts] == [(0, 6), (6, 2)]
    left = read_left(store, only(store, batch))
    assert left is not None
    assert (left.counts, left.places) == (counts, 8)
    assert ledger.archived() == 8
    assert set(map(str, client.keys("t:*"))) <= {
        "t:service:pdf",
        "t:templates",
        "t:lanes:pdf",
        "t:counts",
        "t:events",
    }
    assert not any(b"secret" in store.get(key) for key in store.keys(ROOT))


def test_an_open_batch_keeps_its_counts_and_what_is_young(
    ledger: Ledger, batch: Batch, archive: Archive, store: ObjectStore, clock: Clock
) -> None:
    first, second, third = batch.open(3)
    settle(ledger, first)
    clock.now += 60
    settle(ledger, second)
    clock.now += 60
    assert archive.run(10.0) == 1
    assert ledger.settled(batch.batch_id) == [second]
    assert ledger.batch(batch.batch_id).succeeded == 2
    settle(ledger, third)
    clock.now += 90
    assert archive.run(10.0) == 1
    clock.now += 11
    assert archive.run(10.0) == 1
    assert states(store, batch) == [(one, "succeeded") for one in (first, second, third)]
    assert ledger.batches() == []


def test_a_line_has_nothing_that_is_empty(ledger: Ledger, batch: Batch) -> None:
    document = settle(
        ledger, batch.open()[0], Outcome(state=State.FAILED, error="empty", message="No bytes.")
    )
    line = encode_line(document)
    for absent in (b"options", b"summary", b"results", b"retries", b"advanced", b"null"):
        assert absent not in line


def test_an_archiver_that_dies_before_its_step_leaves_nothing_that_counts(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, batch, archive, store, clock = scene
    ids = batch.open(4)
    for document_id in ids[:3]:
        settle(ledger, document_id)
    clock.now += 101

    def die(*_: object) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr(Archive, "_step", die)
        with pytest.raises(KeyboardInterrupt):
            archive.run(10.0)
    assert len(ledger.settled(batch.batch_id)) == 3
    (left,) = store.keys(ROOT)
    assert states(store, batch, places=0) == []
    settle(ledger, ids[3])
    clock.now += 101
    assert Archive(ledger, store).run(10.0) == 4
    assert states(store, batch) == [(one, "succeeded") for one in ids]
    assert left not in store.keys(ROOT), "it is removed"


def test_an_archiver_whose_part_another_one_removed_removes_nothing_from_the_ledger(
    scene: Scene, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, batch, archive, store, clock = scene
    settle(ledger, batch.open()[0])
    clock.now += 101

    def remove() -> None:
        client.delete("t:archive")
        (part,) = store.keys(ROOT)
        store.delete(part)  # as the next archiver does before it stores its own, and then dies

    between(monkeypatch, remove)
    assert archive.run(10.0) == 0
    assert len(ledger.settled(batch.batch_id)) == 1
    assert Archive(ledger, store).run(10.0) == 1


def test_an_archiver_that_dies_between_two_steps_is_continued_without_doubles(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, batch, archive, store, clock = scene
    ids = batch.open(5)
    for document_id in ids:
        settle(ledger, document_id)
    clock.now += 101
    run = Ledger.run
    steps: list[str] = []

    def second_fails(self: Ledger, step: str, *args: Any) -> Any:
        steps.append(step)
        if steps.count("archive") == 2:
            raise KeyboardInterrupt
        return run(self, step, *args)

    with monkeypatch.context() as dying:
        dying.setattr(Ledger, "run", second_fails)
        with pytest.raises(KeyboardInterrupt):
            archive.run(10.0)
    assert ledger.settled(batch.batch_id) == ids[2:]
    assert Archive(ledger, store).run(10.0) == 3
    assert states(store, batch) == [(one, "succeeded") for one in ids]


def test_a_step_that_is_repeated_after_a_lost_reply_is_done_once(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, batch, archive, store, clock = scene
    ids = batch.open(5)
    for document_id in ids:
        settle(ledger, document_id)
    clock.now += 101
    run = Ledger.run

    def twice(self: Ledger, step: str, *args: Any) -> Any:
        run(self, step, *args)
        return run(self, step, *args)

    monkeypatch.setattr(Ledger, "run", twice)
    archive.run(10.0)
    assert ledger.archived() == 5
    assert states(store, batch) == [(one, "succeeded") for one in ids]
    assert ledger.batches() == []


def between(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Call `act` once, after the next object is stored and before its step."""
    step = Archive._step
    done: list[object] = []

    def acting(self: Archive, name: str, *arguments: object) -> int:
        if not done:
            done.append(None)
            act()
        return step(self, name, *arguments)

    monkeypatch.setattr(Archive, "_step", acting)


def test_one_archiver_works_at_a_time(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger, batch, archive, store, clock = scene
    ids = batch.open(3)
    for document_id in ids:
        settle(ledger, document_id)
    clock.now += 101
    between(monkeypatch, lambda: Archive(ledger, store).run(10.0) == 0 or pytest.fail("it worked"))
    assert archive.run(10.0) == 3
    assert len(only(store, batch).parts) == 1


def test_an_archiver_that_was_frozen_for_longer_than_its_lease_changes_nothing(
    scene: Scene, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, batch, archive, store, clock = scene
    ids = batch.open(4)
    for document_id in ids[:2]:
        settle(ledger, document_id)
    clock.now += 101

    def take_over() -> None:
        client.delete("t:archive")
        for document_id in ids[2:]:
            settle(ledger, document_id)
        clock.now += 101
        assert Archive(ledger, store).run(10.0) == 4

    between(monkeypatch, take_over)
    assert archive.run(10.0) == 0
    assert states(store, batch) == [(one, "succeeded") for one in ids]
    assert len(only(store, batch).parts) == 1, "its own part is gone"
    assert only(store, batch).left


def test_two_parts_at_one_position_count_as_the_longer(
    ledger: Ledger, batch: Batch, archive: Archive, store: ObjectStore, clock: Clock
) -> None:
    ids = batch.open(3)
    first, *_ = [settle(ledger, document_id) for document_id in ids]
    clock.now += 101
    archive.run(10.0)
    opened = only(store, batch).opened
    store.put(part_key(batch.batch_id, opened, 0, 1, "f" * 8), encode_line(first))
    assert states(store, batch) == [(one, "succeeded") for one in ids]


def test_a_quarantined_document_is_archived_and_stays(
    ledger: Ledger, batch: Batch, archive: Archive, store: ObjectStore, clock: Clock
) -> None:
    poison, *others = batch.open(4)
    settle(ledger, poison, QUARANTINED)
    for document_id in others:
        settle(ledger, document_id)
    clock.now += 101
    assert archive.run(10.0) == 3
    assert states(store, batch) == [(poison, "quarantined"), *((one, "succeeded") for one in others)]
    assert ledger.quarantined() == [poison]
    document = ledger.document(poison)
    assert document is not None
    assert document.state is State.QUARANTINED
    clock.now += 1_000
    assert archive.run(10.0) == 0
    assert ledger.batches() == [batch.batch_id], "somebody has yet to decide"
    assert not any(due_batches(ledger, limits(ledger))), "nothing wakes a worker for that"
    assert ledger.drop(document)
    assert ledger.document(poison) is None
    assert (archive.run(10.0), ledger.batches()) == (0, [])
    assert ledger.archived() == 4
    left = read_left(store, only(store, batch))
    assert left is not None
    assert (left.counts.quarantined, left.counts.succeeded) == (1, 3)


def test_a_document_that_is_dropped_before_its_turn_leaves_with_the_others(
    ledger: Ledger, batch: Batch, archive: Archive, store: ObjectStore, clock: Clock
) -> None:
    (poison,) = batch.open()
    assert ledger.drop(settle(ledger, poison, QUARANTINED))
    assert ledger.document(poison) is not None
    clock.now += 101
    assert (archive.run(10.0), ledger.batches()) == (1, [])
    assert states(store, batch) == [(poison, "quarantined")]


def test_a_retried_document_is_archived_once_more_when_it_is_settled_again(
    ledger: Ledger, batch: Batch, archive: Archive, store: ObjectStore, clock: Clock
) -> None:
    (poison,) = batch.open()
    settle(ledger, poison, QUARANTINED)
    clock.now += 101
    assert archive.run(10.0) == 0
    found = ledger.document(poison)
    assert found is not None
    assert ledger.retry(found)
    clock.now += 101
    assert (archive.run(10.0), ledger.batch(batch.batch_id).total) == (0, 1), "it is open"
    settle(ledger, poison)
    clock.now += 101
    assert (archive.run(10.0), ledger.batches()) == (1, [])
    assert states(store, batch) == [(poison, "quarantined"), (poison, "succeeded")]
    left = read_left(store, only(store, batch))
    assert left is not None
    assert (left.counts.total, left.counts.succeeded, left.counts.quarantined) == (1, 1, 0)


def test_the_place_of_a_document_that_is_open_again_is_empty_and_in_nobodys_way(
    ledger: Ledger, batch: Batch, archive: Archive, store: ObjectStore, clock: Clock
) -> None:
    poison, other = batch.open(2)
    assert ledger.retry(settle(ledger, poison, QUARANTINED))
    settle(ledger, other)
    clock.now += 101
    assert archive.run(10.0) == 1
    assert states(store, batch) == [(other, "succeeded")]
    settle(ledger, poison)
    clock.now += 101
    assert (archive.run(10.0), ledger.batches()) == (1, [])
    assert states(store, batch) == [(other, "succeeded"), (poison, "succeeded")]
    assert [part.position for part in only(store, batch).parts] == [0, 2]


def test_a_document_that_is_settled_again_before_the_step_keeps_its_entry(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, batch, archive, store, clock = scene
    (poison,) = batch.open()
    quarantined = settle(ledger, poison, QUARANTINED)
    clock.now += 101
    between(monkeypatch, lambda: (ledger.retry(quarantined), settle(ledger, poison)))
    assert archive.run(10.0) == 0
    found = ledger.document(poison)
    assert found is not None
    assert found.state is State.SUCCEEDED
    clock.now += 101
    assert archive.run(10.0) == 1
    assert states(store, batch)[-1] == (poison, "succeeded")


def test_a_batch_in_which_a_document_is_opened_before_its_last_step_stays(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, batch, archive, _, clock = scene
    settle(ledger, batch.open()[0])
    clock.now += 101
    assert archive.run(0.0) == 1, "time for its documents only"
    between(monkeypatch, batch.open)
    archive.run(10.0)
    counts = ledger.batch(batch.batch_id)
    assert (counts.total, counts.settled) == (2, 1)


def test_a_batch_that_is_opened_again_after_it_left_is_another_generation(
    ledger: Ledger, batch: Batch, archive: Archive, store: ObjectStore, clock: Clock
) -> None:
    (first,) = batch.open()
    settle(ledger, first)
    clock.now += 101
    archive.run(10.0)
    (second,) = batch.open()
    settle(ledger, second)
    clock.now += 101
    archive.run(10.0)
    assert states(store, batch) == [(first, "succeeded"), (second, "succeeded")]
    assert [one.opened for one in generations(store, batch.batch_id)] == [1_000_000_000, 1_101_000_000]


@pytest.mark.parametrize("key", ["t:counts", "t:quarantine"])
def test_a_step_that_meets_a_key_of_a_wrong_type_leaves_nothing_half(
    scene: Scene, client: redis.Redis, key: str
) -> None:
    ledger, batch, archive, _, clock = scene
    for document_id in batch.open(3):
        settle(ledger, document_id)
    clock.now += 101
    client.delete(key)
    client.set(key, "x")

    def dump() -> dict[str, Any]:
        return {
            str(name): client.execute_command("DUMP", name, NEVER_DECODE=True)  # type: ignore[no-untyped-call]
            for name in client.keys("*")
        }

    before = dump()
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        archive.run(10.0)
    assert dump() == before


@pytest.mark.parametrize("key", ["t:counts", "t:batch:{batch}"])
def test_so_does_a_drop(ledger: Ledger, batch: Batch, client: redis.Redis, key: str) -> None:
    document = settle(ledger, batch.open()[0], QUARANTINED)
    name = key.format(batch=batch.batch_id)
    client.delete(name)
    client.set(name, "x")
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        ledger.drop(document)
    assert ledger.quarantined() == [document.document_id]


def test_a_store_that_fails_costs_nothing(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger, batch, archive, store, clock = scene
    settle(ledger, batch.open()[0])
    clock.now += 101

    def refuse(*_: object) -> None:
        raise StorageError

    with monkeypatch.context() as away:
        away.setattr(ObjectStore, "put", refuse)
        with pytest.raises(StorageError):
            archive.run(10.0)
    assert len(ledger.settled(batch.batch_id)) == 1
    assert Archive(ledger, store).run(10.0) == 1, "it gave up its lease"


class TestPressure:
    @pytest.fixture
    def ledger(self, client: redis.Redis, clock: Clock) -> Iterator[Ledger]:
        config = Settings(key_prefix="t:", window="1000", settled_documents=10)
        yield Ledger(client, config, clock)
        client.config_set("maxmemory", 0)

    def test_a_number_of_settled_documents_shortens_their_stay_until_there_are_fewer(
        self, ledger: Ledger, batch: Batch, archive: Archive, clock: Clock
    ) -> None:
        for document_id in batch.open(10):
            settle(ledger, document_id)
        for document_id in Batch(ledger).open(4):
            settle(ledger, document_id)
        assert ledger.settled_held() == 14
        clock.now += PRESSED_SECONDS - 1
        assert archive.run(10.0) == 0
        clock.now += 2
        assert archive.run(10.0) in {4, 6}, "a part makes room enough"
        assert not under_pressure(ledger)

    def test_memory_shortens_their_stay(self, scene: Scene, client: redis.Redis) -> None:
        ledger, batch, archive, _, clock = scene
        settle(ledger, batch.open()[0])
        clock.now += PRESSED_SECONDS + 1
        used = int(client.info("memory")["used_memory"])
        client.config_set("maxmemory", used * 3)
        assert archive.run(10.0) == 0
        client.config_set("maxmemory", int(used * 1.9))
        assert archive.run(10.0) == 1
        assert ledger.batches() == [], "and so do batches"

    def test_a_batch_may_have_to_stay(self, scene: Scene, client: redis.Redis) -> None:
        ledger, batch, _, store, clock = scene
        settle(ledger, batch.open()[0])
        clock.now += PRESSED_SECONDS + 1
        client.config_set("maxmemory", 1)
        archive = Archive(ledger, store, batch_seconds=1_000.0)
        assert archive.run(10.0) == 1
        assert ledger.batches() == [batch.batch_id]
        clock.now += 1_000
        archive.run(10.0)
        assert ledger.batches() == []


def test_many_batches_are_all_looked_at(
    ledger: Ledger, archive: Archive, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.ledger.archive_due.PAGE", 10)
    batches = [Batch(ledger) for _ in range(200)]
    for batch in batches:
        settle(ledger, batch.open()[0])
    assert ledger.settled_held() == 200
    clock.now += 101
    assert archive.run(30.0) == 200
    assert ledger.batches() == []
