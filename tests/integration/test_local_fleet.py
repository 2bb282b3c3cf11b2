"""The local fleet from within: processes that die during a run are replaced, and nothing is lost."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from app.config import Settings
from app.errors import FleetError
from app.ledger.message import new_id
from app.ledger.models import Document, State, Submission
from app.local.process import policies
from app.local.server import EmbeddedServer
from app.local.session import Session
from app.local.snapshot import RunFollower, RunSnapshot
from app.queues import Queue
from app.report.timeline import Event, What
from app.storage.layout import original_key
from tests.support.documents import slow_document
from tests.support.synthetic import GOOD, SCAN, document

SLOW = 40_000


class Run:
    """One batch in its own session."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.batch_id = new_id()
        self.ids: list[str] = []

    def send(self, *documents: bytes) -> None:
        submissions = []
        for data in documents:
            key = original_key(self.batch_id, document_id := new_id())
            self.session.store.put(key, data)
            submissions.append(Submission(document_id=document_id, source="x.pdf"))
            self.ids.append(document_id)
        self.session.ledger.open(self.batch_id, Queue.PDF, submissions)

    def follow(self, until: Callable[[RunSnapshot], bool]) -> RunSnapshot:
        *_, last = RunFollower(self.session, self.batch_id).until(until)
        return last

    def finish(self) -> list[Document]:
        counts = self.follow(lambda seen: seen.counts.settled >= len(self.ids)).counts
        assert counts.settled == counts.total == len(self.ids)
        found = self.session.ledger.documents(self.ids)
        assert all(found)
        return [one for one in found if one is not None]

    def running(self, document_id: str) -> Document | None:
        found = self.session.ledger.document(document_id)
        return found if found is not None and found.state is State.RUNNING else None

    def worker_of(self, document_id: str) -> psutil.Process:
        """Wait until a document is running; return the process that has it."""
        self.follow(lambda _seen: self.running(document_id) is not None)
        found = self.running(document_id)
        assert found is not None
        known = {one.worker: one.process.pid for one in self.session.fleet.replicas}
        ledger = self.session.ledger
        worker = ledger.client.hget(ledger.keys.running(found.queue), document_id).rpartition(".")[0]
        assert worker in known
        return psutil.Process(known[worker])


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def run(events: list[Event]) -> Iterator[Run]:
    config = Settings()
    with Session(config, policies(2), on_event=events.append) as session:
        yield Run(session)


def test_the_document_of_a_killed_worker_is_taken_over_at_once(run: Run, events: list[Event]) -> None:
    run.send(slow_document(SLOW), *(document(number) for number in range(GOOD, SCAN)))
    first = run.worker_of(run.ids[0])
    begun = run.running(run.ids[0])
    assert begun is not None
    assert begun.attempt_started is not None
    first.send_signal(signal.SIGKILL)
    killed = run.session.ledger.clock()
    slow, *others = run.finish()
    assert {one.state for one in (slow, *others)} == {State.SUCCEEDED}
    assert slow.attempts == 2
    assert [one.attempts for one in others] == [1, 1, 1]
    assert slow.attempt_started is not None
    # Long before the worker's presence (10 s) would have run out.
    assert slow.attempt_started - killed < run.session.config.presence_seconds / 2
    assert run.session.fleet.replaced == 1
    assert [event.what for event in events if event.what is not What.SCALE] == [What.REPLACED]


def test_a_killed_sandbox_costs_nothing_but_time(run: Run) -> None:
    run.send(slow_document(SLOW))
    (sandbox,) = run.worker_of(run.ids[0]).children()
    sandbox.kill()
    (slow,) = run.finish()
    assert slow.state is State.SUCCEEDED
    assert run.session.fleet.replaced == 0


def test_a_killed_server_comes_back_with_all_it_had(run: Run, events: list[Event]) -> None:
    run.send(slow_document(SLOW), *(document(number) for number in range(GOOD, SCAN)), slow_document(SLOW))
    run.worker_of(run.ids[0])
    before = run.session.server_pid
    psutil.Process(before).kill()
    assert {one.state for one in run.finish()} == {State.SUCCEEDED}
    assert run.session.server_pid != before
    assert [event.what for event in events].count(What.FAULT) == 1
    counts = run.session.ledger.batch(run.batch_id)
    assert (counts.succeeded, counts.total) == (5, 5)


def test_a_document_whose_original_is_gone_does_not_stop_the_others(run: Run) -> None:
    for _ in range(2):  # the second batch finds workers that wait
        run.send(document(GOOD), document(GOOD + 1))
        run.session.store.delete(original_key(run.batch_id, run.ids[-1]))
        good, gone = run.finish()[-2:]
        assert (good.state, good.error) == (State.SUCCEEDED, None)
        assert (gone.state, gone.error) == (State.FAILED, "document_missing")
        assert gone.message == "The original was deleted before its turn came: submit the document again."


def test_workers_that_cannot_start_end_the_run_with_their_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "__init__.py").write_text("raise SystemExit('this installation is broken')")
    monkeypatch.chdir(tmp_path)
    config = Settings()
    with Session(config, policies(1)) as session:
        run = Run(session)
        run.send(document(GOOD))
        with pytest.raises(FleetError, match="queue pdf cannot start: this installation is broken"):
            run.finish()
    assert not session.folder.exists()


def test_a_run_does_not_wait_at_its_end_for_a_server_that_is_away(server: EmbeddedServer) -> None:
    config = Settings(redis_url=server.url, server_timeout_seconds=3_600)
    with Session(config, policies(1)) as session:
        session.step()
        server.stop()
    assert not session.folder.exists()


def test_it_scales_back_to_zero(run: Run) -> None:
    run.send(document(GOOD))
    assert run.follow(lambda seen: seen.queues[Queue.PDF].ready > 0).queues[Queue.OCR].replicas == 0
    last = run.follow(lambda seen: seen.counts.done and seen.idle)
    assert last.queues[Queue.PDF].replicas == 0
    run.follow(lambda _seen: not run.session.fleet.replicas)
