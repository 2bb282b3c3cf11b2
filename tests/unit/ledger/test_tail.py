import pytest
import redis

from app.errors import ServerError
from app.ledger.archive import Archive
from app.ledger.ledger import Ledger
from app.ledger.models import Document, Outcome, State
from app.ledger.reader import Reader
from app.ledger.tail import OVERLAP_SECONDS, SKEW_SECONDS, Settled, Tail
from app.queues import Queue
from app.storage.store import ObjectStore
from tests.unit.ledger.conftest import Batch, Clock


def settle(ledger: Ledger, ids: list[str], state: State = State.SUCCEEDED) -> None:
    for document_id in ids:
        document = ledger.start(document_id, queue=Queue.PDF, worker="w")
        assert isinstance(document, Document)
        assert ledger.settle(document, Outcome(state=state), token=f"w/{document.attempts}")


def ids_in(polled: Settled) -> list[str | None]:
    return [document.document_id if document else None for document in polled.documents]


def test_an_empty_ledger_has_nothing_to_report(ledger: Ledger) -> None:
    assert Tail(ledger).poll() == Settled(batches=[], documents=[], more=False)


def test_every_document_settled_after_the_first_poll_is_reported_once(ledger: Ledger, batch: Batch) -> None:
    ids = batch.open(4)
    settle(ledger, ids[:1])
    tail = Tail(ledger)
    assert ids_in(tail.poll()) == []
    settle(ledger, ids[1:3])
    polled = tail.poll()
    assert ids_in(polled) == ids[1:3]
    assert [(one.batch_id, one.settled, one.total) for one in polled.batches] == [(batch.batch_id, 3, 4)]
    settle(ledger, ids[3:])
    assert [ids_in(tail.poll()) for _ in range(2)] == [ids[3:], []]
    assert tail.poll().batches == [], "a finished batch is in one more poll only"


def test_one_batch_is_followed_from_its_first_document_on(ledger: Ledger, batch: Batch) -> None:
    ids, others = batch.open(2), Batch(ledger).open(1)
    settle(ledger, [*others, *ids])
    tail = Tail(ledger, batch.batch_id)
    polls = [tail.poll() for _ in range(3)]
    assert [ids_in(polled) for polled in polls] == [ids, [], []]
    assert [one.batch_id for one in polls[2].batches] == [batch.batch_id], "it stays, though it is finished"


def test_the_archive_shifts_nothing(ledger: Ledger, batch: Batch, clock: Clock, store: ObjectStore) -> None:
    ids = batch.open(30)
    tail = Tail(ledger)
    tail.poll()
    settle(ledger, ids[:10])
    assert ids_in(tail.poll()) == ids[:10]
    clock.now += 101
    settle(ledger, ids[10:15])
    assert Archive(ledger, store).run(10.0) == 10
    assert ids_in(tail.poll()) == ids[10:15]
    settle(ledger, ids[15:])
    assert ids_in(tail.poll()) == ids[15:]
    assert ids_in(Tail(ledger, since=clock.now).poll()) == ids[10:]


def test_a_batch_whose_submitters_clock_is_slow_is_found(ledger: Ledger, batch: Batch, clock: Clock) -> None:
    batch.open(1)
    tail = Tail(ledger)
    tail.poll()
    clock.now -= OVERLAP_SECONDS
    ids = Batch(ledger).open(1)
    tail.poll()
    settle(ledger, ids)
    assert ids_in(tail.poll()) == ids


@pytest.mark.parametrize(("before", "reported"), [(SKEW_SECONDS, True), (SKEW_SECONDS + 1, False)])
def test_since_allows_for_a_difference_between_clocks(
    ledger: Ledger, batch: Batch, clock: Clock, before: float, reported: bool
) -> None:
    first, second = batch.open(2)
    settle(ledger, [first])
    clock.now += before
    settle(ledger, [second])
    polled = Tail(ledger, since=clock.now).poll()
    assert ids_in(polled) == [first, second][0 if reported else 1 :]


def test_more_is_true_if_a_page_was_full_even_as_new_batches_make_the_pages_smaller(
    ledger: Ledger, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.ledger.tail.PAGE", 20)
    ids = batch.open(30)
    tail = Tail(ledger)
    tail.poll()
    settle(ledger, ids)
    Batch(ledger).open(1)
    first, second = tail.poll(), tail.poll()
    assert (len(first.documents), first.more) == (20, True)
    assert ids_in(second) == ids[20:]


def test_a_document_whose_entry_expired_is_counted_and_not_shown(
    ledger: Ledger, batch: Batch, client: redis.Redis
) -> None:
    first, second = batch.open(2)
    tail = Tail(ledger)
    tail.poll()
    settle(ledger, [first, second])
    client.delete(ledger.keys.document(first))
    assert ids_in(tail.poll()) == [None, second]
    assert ids_in(tail.poll()) == []


def test_a_poll_that_fails_loses_no_document(
    ledger: Ledger, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = batch.open(2)
    tail = Tail(ledger)
    tail.poll()
    settle(ledger, ids)

    def away(*_: object) -> list[Document | None]:
        raise ServerError

    with monkeypatch.context() as broken:
        broken.setattr(Reader, "documents", away)
        with pytest.raises(ServerError):
            tail.poll()
    assert ids_in(tail.poll()) == ids


@pytest.mark.parametrize("retried", [[0], [2], [0, 1, 2]], ids=str)
def test_a_retry_that_shortens_the_list_hides_no_document(
    ledger: Ledger, batch: Batch, retried: list[int]
) -> None:
    ids = batch.open(4)
    tail = Tail(ledger)
    tail.poll()
    settle(ledger, ids[:3], State.QUARANTINED)
    assert ids_in(tail.poll()) == ids[:3]
    again = [ids[position] for position in retried]
    for document in ledger.documents(again):
        assert document is not None
        assert ledger.retry(document)
    assert ids_in(tail.poll()) == []
    settle(ledger, [*again, ids[3]])
    assert ids_in(tail.poll()) == [*again, ids[3]]
    assert tail.poll().batches[0].done
