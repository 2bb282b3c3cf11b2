import msgspec
import pytest
import redis

from app.errors import ServerError
from app.ledger.events import START
from app.ledger.follow import BatchFollower, FleetFollower, Settled
from app.ledger.ledger import Ledger
from app.ledger.models import Document, Outcome, State
from app.ledger.reader import Reader
from app.queues import Queue
from tests.unit.ledger.conftest import Batch, Clock


def settle(ledger: Ledger, ids: list[str], state: State = State.SUCCEEDED) -> None:
    for document_id in ids:
        document = ledger.start(document_id, queue=Queue.PDF, worker="w")
        assert isinstance(document, Document)
        assert ledger.settle(document, Outcome(state=state), token=f"w/{document.attempts}")


def ids_in(polled: Settled) -> list[str]:
    return [document.document_id for document in polled.documents]


def trim(ledger: Ledger, batch: Batch, count: int) -> None:
    """Do to the list of a batch what its archiving does."""
    ledger.client.ltrim(ledger.keys.settled(batch.batch_id), count, -1)
    ledger.client.hincrby(ledger.keys.batch(batch.batch_id), "trimmed", count)


def test_an_empty_ledger_has_nothing_to_report(ledger: Ledger) -> None:
    assert FleetFollower(ledger).poll() == Settled(batches=[], documents=[], position=START)


def test_every_document_settled_after_the_first_poll_is_reported_once(ledger: Ledger, batch: Batch) -> None:
    ids = batch.open(4)
    settle(ledger, ids[:1])
    follower = FleetFollower(ledger)
    assert ids_in(follower.poll()) == []
    settle(ledger, ids[1:3])
    polled = follower.poll()
    assert ids_in(polled) == ids[1:3]
    assert [(one.batch_id, one.settled, one.total) for one in polled.batches] == [(batch.batch_id, 3, 4)]
    settle(ledger, ids[3:])
    polled = follower.poll()
    assert (ids_in(polled), polled.batches[0].done) == (ids[3:], True)
    assert follower.poll().batches == [], "it ended with the poll before"


def test_another_follower_goes_on_at_a_position(ledger: Ledger, batch: Batch) -> None:
    ids = batch.open(4)
    follower = FleetFollower(ledger)
    follower.poll()
    settle(ledger, ids[:2])
    position = follower.poll().position
    settle(ledger, ids[2:])
    assert ids_in(FleetFollower(ledger, position).poll()) == ids[2:]
    assert ids_in(FleetFollower(ledger, START).poll()) == ids


def test_a_follower_that_comes_too_late_says_that_it_missed_documents(ledger: Ledger) -> None:
    small = Ledger(
        ledger.client, msgspec.structs.replace(ledger.config, window="all", events_kept=1_000), ledger.clock
    )
    follower = FleetFollower(small)
    position = follower.poll().position
    batch = Batch(small)
    settle(small, batch.open(1_300))
    polls = [follower.poll()]
    while polls[-1].more:
        polls.append(follower.poll())
    assert polls[0].missed
    assert not follower.poll().missed, "it has caught up"
    assert 1_000 <= len([one for poll in polls for one in ids_in(poll)]) < 1_300
    assert position == START


def test_one_batch_is_followed_from_its_first_document_on(ledger: Ledger, batch: Batch) -> None:
    ids, others = batch.open(2), Batch(ledger).open(1)
    settle(ledger, [*others, *ids])
    follower = BatchFollower(ledger, batch.batch_id)
    polls = [follower.poll() for _ in range(3)]
    assert [ids_in(polled) for polled in polls] == [ids, [], []]
    assert [one.batch_id for one in polls[2].batches] == [batch.batch_id], "it stays, though it is finished"


@pytest.mark.parametrize("trimmed", [5, 10])
def test_a_trimmed_list_shifts_nothing(ledger: Ledger, batch: Batch, trimmed: int) -> None:
    ids = batch.open(30)
    follower = BatchFollower(ledger, batch.batch_id)
    settle(ledger, ids[:10])
    assert ids_in(follower.poll()) == ids[:10]
    settle(ledger, ids[10:15])
    trim(ledger, batch, trimmed)
    polled = follower.poll()
    assert (ids_in(polled), polled.missed) == (ids[10:15], False)
    settle(ledger, ids[15:])
    assert ids_in(follower.poll()) == ids[15:]


def test_a_list_that_is_trimmed_again_while_it_is_read_shifts_nothing(
    ledger: Ledger, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = batch.open(20)
    follower = BatchFollower(ledger, batch.batch_id)
    settle(ledger, ids[:10])
    assert ids_in(follower.poll()) == ids[:10]
    settle(ledger, ids[10:])
    read, trims = follower._read, iter((3, 3))

    def trimmed_before() -> tuple[dict[str, str], list[str]]:
        trim(ledger, batch, next(trims, 0))
        return read()

    monkeypatch.setattr(follower, "_read", trimmed_before)
    polled = follower.poll()
    assert (ids_in(polled), polled.missed) == (ids[10:], False)


def test_a_list_that_was_trimmed_too_early_is_said_and_the_rest_reported(
    ledger: Ledger, batch: Batch
) -> None:
    ids = batch.open(10)
    follower = BatchFollower(ledger, batch.batch_id)
    settle(ledger, ids)
    trim(ledger, batch, 4)
    polled = follower.poll()
    assert (ids_in(polled), polled.missed) == (ids[4:], True)
    assert not follower.poll().missed


def test_a_batch_that_left_and_is_opened_again_begins_anew(
    ledger: Ledger, batch: Batch, clock: Clock
) -> None:
    ids = batch.open(3)
    follower = BatchFollower(ledger, batch.batch_id)
    settle(ledger, ids)
    assert ids_in(follower.poll()) == ids
    ledger.client.delete(ledger.keys.settled(batch.batch_id), ledger.keys.batch(batch.batch_id))
    assert follower.poll().batches[0].succeeded == 3
    clock.now += 1
    again = batch.open(2)
    settle(ledger, again)
    polled = follower.poll()
    assert (ids_in(polled), polled.missed, polled.batches[0].total) == (again, False, 2)


def test_many_come_in_pages_without_a_gap(
    ledger: Ledger, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.ledger.follow.PAGE", 10)
    follower = FleetFollower(ledger)
    follower.poll()
    ids = batch.open(25)
    settle(ledger, ids)
    polls = [follower.poll()]
    while polls[-1].more:
        polls.append(follower.poll())
    assert [document for polled in polls for document in ids_in(polled)] == ids


def test_a_document_whose_entry_is_gone_does_not_hide_the_others(
    ledger: Ledger, client: redis.Redis, batch: Batch
) -> None:
    first, second = batch.open(2)
    follower = FleetFollower(ledger)
    follower.poll()
    settle(ledger, [first, second])
    client.delete(ledger.keys.document(first))
    assert ids_in(follower.poll()) == [second]


class Interrupted:
    """A reader whose queries for documents fail at first."""

    def __init__(self, ledger: Ledger, failures: int) -> None:
        self._ledger, self._failures = ledger, failures

    def documents(self, ids: list[str]) -> list[Document | None]:
        self._failures -= 1
        if self._failures >= 0:
            raise ServerError("away")
        return Reader.documents(self._ledger, ids)


@pytest.mark.parametrize("of_one_batch", [False, True])
def test_a_poll_that_fails_loses_nothing(
    ledger: Ledger, batch: Batch, monkeypatch: pytest.MonkeyPatch, of_one_batch: bool
) -> None:
    ids = batch.open(3)
    follower = BatchFollower(ledger, batch.batch_id) if of_one_batch else FleetFollower(ledger)
    follower.poll()
    settle(ledger, ids)
    monkeypatch.setattr(ledger, "documents", Interrupted(ledger, 2).documents)
    for _ in range(2):
        with pytest.raises(ServerError):
            follower.poll()
    assert ids_in(follower.poll()) == ids


def test_a_document_is_reported_again_after_a_retry_and_only_when_it_is_settled(
    ledger: Ledger, batch: Batch
) -> None:
    ids = batch.open(5)
    follower = FleetFollower(ledger)
    follower.poll()
    settle(ledger, ids[:3], State.QUARANTINED)
    assert ids_in(follower.poll()) == ids[:3]
    again = ids[1:3]
    for document_id in again:
        document = ledger.document(document_id)
        assert document is not None
        assert ledger.retry(document)
    polled = follower.poll()
    assert (ids_in(polled), polled.batches[0].settled) == ([], 1)
    settle(ledger, [*again, *ids[3:]])
    polled = follower.poll()
    assert (ids_in(polled), polled.batches[0].done) == ([*again, *ids[3:]], True)
