from typing import cast

import pytest
import redis

from app.config import Settings
from app.ledger.ledger import Ledger
from app.ledger.message import new_id
from app.ledger.models import Outcome, State, Submission
from app.local.fleet import QueueStatus
from app.local.session import Session
from app.local.snapshot import RunFollower
from app.queues import Queue


class IdleSession:
    """A run whose fleet does nothing: the test settles the documents."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    def step(self) -> dict[Queue, QueueStatus]:
        return {}

    def archive(self) -> None:
        """Archive nothing."""


@pytest.fixture
def ledger(client: redis.Redis) -> Ledger:
    return Ledger(client, Settings())


def opened(ledger: Ledger, batch_id: str, count: int) -> list[str]:
    ids = [new_id() for _ in range(count)]
    ledger.open(batch_id, Queue.PDF, [Submission(document_id=i, source=i) for i in ids])
    return ids


def settled(ledger: Ledger, document_id: str, state: State = State.SUCCEEDED) -> None:
    document = ledger.start(document_id, queue=Queue.PDF, worker="w")
    assert not isinstance(document, str), document
    assert ledger.settle(document, Outcome(state=state), token=new_id())


def follower_of(ledger: Ledger, batch_id: str) -> RunFollower:
    return RunFollower(cast("Session", IdleSession(ledger)), batch_id)


def seen(follower: RunFollower) -> list[str]:
    return [document.document_id for document in follower.snapshot().settled]


def test_a_batch_that_is_not_open_yet_has_no_documents(ledger: Ledger) -> None:
    follower = follower_of(ledger, batch_id := new_id())
    snapshot = follower.snapshot()
    assert (snapshot.counts.batch_id, snapshot.counts.total, snapshot.settled) == (batch_id, 0, [])


def test_each_settled_document_is_in_one_snapshot(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.ledger.follow.PAGE", 10)
    ids = opened(ledger, batch_id := new_id(), 27)
    follower = follower_of(ledger, batch_id)
    for document_id in ids[:25]:
        settled(ledger, document_id)
    assert seen(follower) == ids[:25], "also more than a page"
    settled(ledger, ids[25])
    assert seen(follower) == [ids[25]]
    assert seen(follower) == []


def test_a_retry_out_of_the_quarantine_hides_no_other_document(ledger: Ledger) -> None:
    first, poison, last = opened(ledger, batch_id := new_id(), 3)
    follower = follower_of(ledger, batch_id)
    settled(ledger, first)
    settled(ledger, poison, State.QUARANTINED)
    assert seen(follower) == [first, poison]
    document = ledger.document(poison)
    assert document is not None
    assert ledger.retry(document)
    settled(ledger, last)
    assert seen(follower) == [last]
