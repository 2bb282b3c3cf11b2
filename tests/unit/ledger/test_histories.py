"""Random histories of a fleet: what scaling counts is work that waits, or a live worker that is busy."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import count
from typing import Any

import redis
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from app.config import Settings
from app.ledger.ledger import Ledger
from app.ledger.message import Delivery, document_id_of, redelivered
from app.ledger.models import Advance, Document, NotStarted, Outcome, State, Submission
from app.ledger.reconcile import Reconciler
from app.policy.policy import MILLI, Policy
from app.queues import Queue
from tests.support.ledger import message
from tests.unit.ledger.conftest import Clock

PRESENCE_SECONDS = 30.0
SUCCESS = Outcome(state=State.SUCCEEDED)
QUARANTINE = Outcome(state=State.QUARANTINED, error="worker_lost")
QUEUES = (Queue.PDF, Queue.OCR)
MANY = 1_000_000
NUMBERS = st.integers(0, 11)


class Place(StrEnum):
    """Where a document is."""

    WAITING = "waiting"
    RUNNING = "running"
    ENDING = "ending"
    DUE = "due"
    SETTLED = "settled"
    QUARANTINED = "quarantined"


class End(StrEnum):
    """How a worker's pass over a document ends."""

    SETTLE = "settle"
    QUARANTINE = "quarantine"
    ADVANCE = "advance"
    REQUEUE = "requeue"
    DEFER = "defer"


class Event(StrEnum):
    """What may happen to a fleet."""

    SIGTERM = "sigterm"
    SIGKILL = "sigkill"
    FREEZE = "freeze"
    THAW = "thaw"
    LOSE = "lose"
    """A message vanishes."""
    RETRY = "retry"
    """Quarantined documents are opened again."""


@dataclass
class Entry:
    """A document as it should be."""

    queue: Queue = Queue.PDF
    place: Place = Place.WAITING
    owner: str = ""
    due: float = 0.0


@dataclass
class Worker:
    """A worker: a slot for one document."""

    name: str
    queue: Queue
    ending: bool = False
    silent: bool = False
    """Whether it is frozen, or killed: it does not report."""
    delivery: Delivery | None = field(default=None, repr=False)
    document: Document | None = field(default=None, repr=False)
    believed: bool = True
    """Whether it counts as alive: it has reported, or its silence is not noticed yet."""

    @property
    def working(self) -> bool:
        return self.document is not None or self.delivery is not None


@dataclass
class Fleet:
    workers: list[Worker] = field(default_factory=list)
    names: "count[int]" = field(default_factory=count)

    def start(self, queue: Queue) -> Worker:
        # Each on a host of its own: none comes back, so each attempt is refunded.
        worker = Worker(f"{queue}-{(number := next(self.names))}@host-{number}/1.a", queue)
        self.workers.append(worker)
        return worker

    def find(self, holds: Callable[[Worker], bool]) -> list[Worker]:
        return [worker for worker in self.workers if holds(worker)]


class Histories(RuleBasedStateMachine):
    """Every step of the ledger, by workers that end, die, freeze and come back late."""

    url: str

    def __init__(self) -> None:
        super().__init__()
        self.client = redis.Redis.from_url(self.url, decode_responses=True)
        self.client.flushall()
        self.clock = Clock()
        config = Settings(
            key_prefix="t:",
            window="2",
            presence_seconds=PRESENCE_SECONDS,
            max_attempts=MANY,
            max_interruptions=MANY,
        )
        self.ledger = Ledger(self.client, config, self.clock)
        self.reconciler = Reconciler(self.ledger, clock=self.clock)
        self.policy = Policy.cluster(MANY, backlog_per_replica=3)
        self.entries: dict[str, Entry] = {}
        self.fleet = Fleet()
        self.ids = count()

    def teardown(self) -> None:
        self.client.close()

    # The steps.

    @initialize()
    def start_workers(self) -> None:
        for queue in (Queue.PDF, Queue.PDF, Queue.PDF, Queue.OCR):
            self.report(self.fleet.start(queue))
        self.reconciler.reconcile()

    @rule(documents=st.integers(1, 7), batch=st.sampled_from("abc"), express=st.booleans())
    def open(self, documents: int, batch: str, express: bool) -> None:
        chosen = [Submission(document_id=f"document-{next(self.ids)}.", source="x") for _ in range(documents)]
        assert self.ledger.open(batch, Queue.PDF, chosen, express=express) == documents
        self.entries |= {one.document_id: Entry() for one in chosen}

    @rule(chosen=st.lists(st.tuples(NUMBERS, st.sampled_from(End)), min_size=3, max_size=12))
    def work(self, chosen: list[tuple[int, End]]) -> None:
        """Workers take the next step each: an idle one takes a message, then starts its document, then ends that."""
        for number, end in chosen:
            able = self.fleet.find(self.can_work)
            if not able:
                return
            worker = self.choose(able, number)
            if worker.document is not None:
                self.finish(worker, end)
            elif worker.delivery is not None:
                self.start(worker)
            else:
                self.take(worker)
            self.check()

    @rule(chosen=NUMBERS, event=st.sampled_from(Event))
    def disturb(self, chosen: int, event: Event) -> None:
        match event:
            case Event.SIGTERM | Event.SIGKILL | Event.FREEZE:
                awake = self.fleet.find(lambda one: not (one.silent or one.ending))
                self.stop(self.choose([one for one in awake if one.working] or awake, chosen), event)
            case Event.THAW:
                for worker in self.fleet.find(lambda one: one.silent and one.working):
                    worker.silent, worker.believed = False, True
                    self.report(worker)
            case Event.LOSE:
                self.client.rpop("pdf")
            case Event.RETRY:
                for document in filter(None, self.ledger.documents(self.ledger.quarantined())):
                    assert self.ledger.retry(document)
                    self.entries[document.document_id].place = Place.WAITING

    @precondition(lambda self: self.entries)
    @rule(chosen=NUMBERS)
    def send_again(self, chosen: int) -> None:
        """A second message of a document, whatever became of it: somebody took the first one for lost."""
        rare = [one for one, entry in self.entries.items() if entry.place in {Place.ENDING, Place.DUE}]
        document_id = self.choose(rare or list(self.entries), chosen)
        queue = self.entries[document_id].queue
        self.client.rpush(str(queue), message(document_id, queue))

    @rule(seconds=st.sampled_from([1.0, 11.0, 40.0]), reconciled=st.booleans())
    def pass_time(self, seconds: float, reconciled: bool) -> None:
        """Let time pass, with the reports of the workers that live, and beat's ticks or passes."""
        while seconds > 0:
            self.clock.now += min(seconds, 10.0)
            seconds -= 10.0
            for worker in self.fleet.find(lambda one: not one.silent):
                self.report(worker)
            if reconciled:
                self.reconciler.reconcile()
            for queue in QUEUES:
                self.ledger.fill(queue)
            self.come_due()
            self.notice()

    # What a worker does.

    def take(self, worker: Worker) -> None:
        taken = self.ledger.keys.taken(worker.queue, worker.name)
        raw = self.client.lmove(str(worker.queue), taken, "RIGHT", "LEFT")
        if raw is not None:
            worker.delivery = Delivery(str(raw).encode(), worker.name, taken)

    def start(self, worker: Worker) -> None:
        delivery, worker.delivery = worker.delivery, None
        assert delivery is not None
        document_id = document_id_of(delivery.message.decode())
        assert document_id is not None
        entry = self.entries[document_id]
        reply = self.ledger.start(document_id, queue=worker.queue, worker=worker.name, delivery=delivery)
        if entry.queue is worker.queue and entry.place in {Place.WAITING, Place.DUE}:
            assert isinstance(reply, Document), reply
            worker.document = reply
            entry.place, entry.owner = Place.RUNNING, worker.name
        else:
            assert isinstance(reply, NotStarted), reply
            self.leave(worker, delivery, requeue=False)

    def finish(self, worker: Worker, end: End) -> None:
        """End the pass over a document; another worker may have it meanwhile, or it may be settled."""
        document, worker.document = worker.document, None
        assert document is not None
        entry = self.entries[document.document_id]
        final = entry.place in {Place.SETTLED, Place.QUARANTINED}
        if end is End.ADVANCE and worker.queue is Queue.PDF:
            done = self.ledger.advance(document, Advance(queue=Queue.OCR, summary=b"{}"))
            assert done == (entry.queue is Queue.PDF and not final)
            after = Entry(Queue.OCR)
        elif end in {End.REQUEUE, End.DEFER}:
            pause = 15.0 if end is End.DEFER else 0.0
            if end is End.DEFER:
                done = self.ledger.defer(document, code="x", message="x", pause=pause)
            else:
                done = self.ledger.requeue(document, code="x", message="x")
            assert done == (entry.owner == worker.name)
            after = Entry(entry.queue, Place.DUE if pause else Place.WAITING, due=self.clock.now + pause)
        else:
            outcome = QUARANTINE if end is End.QUARANTINE else SUCCESS
            done = self.ledger.settle(document, outcome, token=worker.name)
            assert done == (not final)
            after = Entry(entry.queue, Place.QUARANTINED if end is End.QUARANTINE else Place.SETTLED)
        if done:
            self.entries[document.document_id] = after

    def stop(self, worker: Worker, event: Event) -> None:
        """Stop a worker; another takes its place."""
        if event is Event.SIGTERM:
            self.end(worker)
        else:
            worker.silent = True
        if event is Event.SIGKILL:
            worker.delivery = worker.document = None
        self.report(self.fleet.start(worker.queue))

    def end(self, worker: Worker) -> None:
        """Do as on SIGTERM: return what is not started, and leave the metric."""
        worker.ending = True
        if worker.delivery is not None:
            self.leave(worker, worker.delivery, requeue=True)
            worker.delivery = None
        if worker.document is not None:
            self.ledger.end_worker(worker.queue, worker.name, [worker.document.document_id])
            entry = self.entries[worker.document.document_id]
            if entry.owner == worker.name:
                entry.place = Place.ENDING

    # What should be so.

    @invariant()
    def check(self) -> None:
        for queue, depth in self.ledger.depths(QUEUES).items():
            places = [entry.place for entry in self.entries.values() if entry.queue is queue]
            assert depth.waiting == places.count(Place.WAITING)
            assert depth.running == places.count(Place.RUNNING)
            assert depth.ending == places.count(Place.ENDING)
            assert depth.delayed == places.count(Place.DUE)
            live = self.fleet.find(lambda one: one.believed and not one.ending)
            busy = sum(self.counts_as_busy(one) for one in live if one.queue is queue)
            metric = self.policy.metric_milli(depth.waiting, depth.running) / MILLI
            backlog = depth.waiting + depth.running
            assert metric <= max(busy, backlog / self.policy.backlog_per_replica)

    # The rest.

    @staticmethod
    def choose(candidates: Sequence[Any], number: int) -> Any:
        return candidates[number % len(candidates)]

    def can_work(self, worker: Worker) -> bool:
        """Whether a worker has something in hand, or may find a message."""
        if worker.silent or worker.ending:
            return worker.document is not None and not worker.silent
        waits = (
            entry.queue is worker.queue and entry.place is Place.WAITING for entry in self.entries.values()
        )
        return worker.working or any(waits)

    def counts_as_busy(self, worker: Worker) -> bool:
        return worker.document is not None or any(
            entry.owner == worker.name for entry in self.entries.values()
        )

    def report(self, worker: Worker) -> None:
        """Report by the clock of the test."""
        document = "" if worker.document is None else worker.document.document_id
        self.client.hset(self.ledger.keys.workers(worker.queue), worker.name, f"{self.clock.now} {document}")

    def leave(self, worker: Worker, delivery: Delivery, *, requeue: bool) -> None:
        again = redelivered(delivery.message) if requeue else ""
        self.ledger.run("leave", str(worker.queue), delivery.taken, delivery.message, "tag", again, "")

    def come_due(self) -> None:
        for entry in self.entries.values():
            if entry.place is Place.DUE and entry.due <= self.clock.now:
                entry.place = Place.WAITING

    def notice(self) -> None:
        """Do as the reconciler did: what workers had that count as gone waits again."""
        for queue in QUEUES:
            known = self.client.hgetall(self.ledger.keys.workers(queue))
            for worker in self.fleet.find(lambda one, queue=queue: one.queue is queue):  # type: ignore[misc]
                if worker.name not in known:
                    worker.believed = False
                    for entry in self.entries.values():
                        if entry.owner == worker.name:
                            entry.place, entry.owner = Place.WAITING, ""


def test_the_metric_counts_busy_workers_and_work_that_waits(valkey_url: str) -> None:
    Histories.url = valkey_url
    bounds = settings(
        max_examples=60,
        stateful_step_count=40,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],  # to shrink a history takes minutes
    )
    run_state_machine_as_test(Histories, settings=bounds)
