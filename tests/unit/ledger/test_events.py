import redis

from app.ledger.events import START, Kind, LedgerEvent, last_position, position_at, read_events
from app.ledger.ledger import Ledger
from app.ledger.models import Advance, Document, Outcome, State
from app.queues import Queue
from tests.unit.ledger.conftest import Batch

SUCCESS = Outcome(state=State.SUCCEEDED)


def start(ledger: Ledger, document_id: str, queue: Queue = Queue.PDF) -> Document:
    document = ledger.start(document_id, queue=queue, worker="w")
    assert isinstance(document, Document)
    return document


def test_each_step_leaves_its_event(ledger: Ledger, batch: Batch) -> None:
    plain, scan, poison = batch.open(3)
    assert ledger.settle(start(ledger, plain), SUCCESS, token="w/1")
    assert ledger.advance(start(ledger, scan), Advance(queue=Queue.OCR, summary=b"{}"))
    assert ledger.defer(start(ledger, scan, Queue.OCR), code="x", message="x", pause=1.0)
    quarantined = start(ledger, poison)
    assert ledger.settle(quarantined, Outcome(state=State.QUARANTINED, error="worker_lost"), token="w/2")
    found = ledger.document(poison)
    assert found is not None
    assert ledger.retry(found)
    page = read_events(ledger, START)
    assert page.events == [
        LedgerEvent(kind=Kind.OPENED, subject=batch.batch_id, documents=3),
        LedgerEvent(kind=Kind.SETTLED, subject=plain),
        LedgerEvent(kind=Kind.ADVANCED, subject=scan),
        LedgerEvent(kind=Kind.RETRIED, subject=scan),
        LedgerEvent(kind=Kind.QUARANTINED, subject=poison),
        LedgerEvent(kind=Kind.OPENED, subject=batch.batch_id),
    ]
    assert (page.missed, page.more, page.position) == (False, False, last_position(ledger))


def test_what_changes_nothing_leaves_no_event(ledger: Ledger, batch: Batch) -> None:
    (document_id,) = batch.open()
    document = start(ledger, document_id)
    assert ledger.requeue(document, code="interrupted", message="stopped"), "a shutdown is no retry"
    document = start(ledger, document_id)
    assert ledger.settle(document, SUCCESS, token="w/1")
    assert ledger.settle(document, SUCCESS, token="w/1"), "the reply was lost"
    assert not ledger.settle(document, SUCCESS, token="w/2"), "a duplicate"
    kinds = [event.kind for event in read_events(ledger, START).events]
    assert kinds == [Kind.OPENED, Kind.SETTLED]


def test_pages_follow_one_another(ledger: Ledger) -> None:
    for _ in range(5):
        Batch(ledger).open(1)
    first = read_events(ledger, START, most=3)
    second = read_events(ledger, first.position, most=3)
    assert (len(first.events), first.more, len(second.events), second.more) == (3, True, 2, False)
    third = read_events(ledger, second.position)
    assert (third.events, third.position) == ([], second.position)


def test_the_stream_keeps_a_number_of_events_and_a_late_reader_is_told(
    client: redis.Redis, ledger: Ledger
) -> None:
    for _ in range(50):
        Batch(ledger).open(1)
    middle = last_position(ledger)
    client.xtrim("t:events", maxlen=20, approximate=False)
    assert not read_events(ledger, middle).missed
    late = read_events(ledger, START)
    assert (late.missed, len(late.events)) == (True, 20)


def test_a_ledger_without_events_has_missed_none(ledger: Ledger) -> None:
    page = read_events(ledger, position_at(1_000.5))
    assert (page.events, page.missed, page.position) == ([], False, "1000500-0")


def test_a_reader_from_a_time_on_has_missed_nothing_that_is_still_there(ledger: Ledger, batch: Batch) -> None:
    batch.open(1)
    page = read_events(ledger, position_at(1.0))
    assert (len(page.events), page.missed) == (1, False)
