"""The ledger on one server: memory and CPU a document, a loss among many open documents, and fairness."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from app.documents.models import ResultKind
from app.ledger.ledger import SCRIPTS, Ledger
from app.ledger.message import Delivery, document_id_of, new_id
from app.ledger.models import Document, Outcome, State, Submission
from app.ledger.reconcile import Reconciler
from app.ledger.record import micros
from app.ledger.steps import source
from app.queues import Queue
from bench.results import Bound, Finding, Series, Target
from bench.rig import Rig

TITLE = "the ledger: memory and CPU of the server, a loss, fairness"
OPEN_BYTES = Target(bound=Bound.AT_MOST, value=350)
SETTLED_BYTES = Target(bound=Bound.AT_MOST, value=300)
MICROSECONDS = Target(bound=Bound.AT_MOST, value=120)
MEND_SECONDS = Target(bound=Bound.AT_MOST, value=40)
COMMAND_MILLISECONDS = Target(bound=Bound.AT_MOST, value=5)
WORKERS = 200
"""Workers whose steps are sent at once: the server then spends its time on the steps, not on waiting for a client."""
SMALL = 10
"""Documents of the batch that is opened behind a flood."""
WORKER = "pdf@fleet-worker-pdf-7f9c5d-x2x4z/1.19385a2b3c4"
SUCCESS = Outcome(state=State.SUCCEEDED, summary=b'{"p":3,"c":4711}', results=tuple(ResultKind))


class Pipelined:
    """Takes the place of a ledger's steps: it collects them, and sends them together.

    Args:
        ledger: The ledger.
        batch_id: The batch of its documents.
    """

    def __init__(self, ledger: Ledger, batch_id: str) -> None:
        self._client = ledger.client
        self._started = ["started", "1", "b", batch_id, "q", str(Queue.PDF), "o", str(micros(ledger.clock()))]
        self._calls: list[tuple[str, Sequence[Any]]] = []
        self._shas = {name: self._client.script_load(source(name)) for name in SCRIPTS}

    def run(self, step: str, args: Sequence[Any]) -> Any:
        """Collect a step; return what the server is going to reply."""
        self._calls.append((step, args))
        return self._started if step == "start" else 1

    def send(self) -> list[Any]:
        """Send the steps; return their replies."""
        with self._client.pipeline(transaction=False) as pipe:
            for step, args in self._calls:
                pipe.execute_command("EVALSHA", self._shas[step], 0, *args)
            self._calls = []
            return list(pipe.execute())


def cpu_seconds(ledger: Ledger) -> float:
    """Return the CPU time of the server's main thread since its start."""
    found = ledger.client.info("cpu")
    return float(found["used_cpu_user_main_thread"] + found["used_cpu_sys_main_thread"])


def used_memory(ledger: Ledger) -> int:
    """Return the bytes that the server has in use."""
    return int(ledger.client.info("memory")["used_memory"])


def flood(ledger: Ledger, count: int) -> str:
    """Open documents with names such as invoice-0000017.pdf; return their batch."""
    batch_id = new_id()
    names = (f"invoice-{number:07}.pdf" for number in range(count))
    ledger.open(batch_id, Queue.PDF, (Submission(document_id=new_id(), source=name) for name in names))
    return batch_id


def delivery(ledger: Ledger, number: int) -> Delivery:
    """Return the delivery of the message that the worker of that number took."""
    return Delivery(message=b"", worker=WORKER, taken=ledger.keys.taken(Queue.PDF, f"w{number}"))


def take(ledger: Ledger, count: int) -> list[str]:
    """Take up to so many messages, each into the list of another worker; return their documents."""
    with ledger.client.pipeline(transaction=False) as pipe:
        for number in range(count):
            pipe.lmove(str(Queue.PDF), delivery(ledger, number).taken, "RIGHT", "LEFT")
        taken = pipe.execute()
    return [document_id_of(raw) or "" for raw in taken if raw]


def measure_steps(ledger: Ledger, batch_id: str, count: int) -> dict[str, float]:
    """Take, start and settle so many documents; return the server's CPU time a document and step, in us."""
    spent = dict.fromkeys(("take", "start", "settle"), 0.0)

    def timed(step: str, call: Callable[[], Any]) -> Any:
        before = cpu_seconds(ledger)
        found = call()
        spent[step] += cpu_seconds(ledger) - before
        return found

    steps = Pipelined(ledger, batch_id)
    real, done = ledger._steps, 0  # noqa: SLF001
    ledger._steps = steps  # type: ignore[assignment]  # noqa: SLF001
    running: list[Document] = []
    try:
        while done < count:
            taken = timed("take", lambda: take(ledger, WORKERS))
            documents = [
                ledger.start(one, queue=Queue.PDF, worker=WORKER, delivery=delivery(ledger, number))
                for number, one in enumerate(taken)
            ]
            timed("start", steps.send)
            # The workers are never idle, so the next ones start before these end.
            for one in running:
                ledger.settle(one, SUCCESS, token=f"{WORKER}/1")
            timed("settle", steps.send)
            done += len(running)
            running = [one for one in documents if isinstance(one, Document)]
    finally:
        ledger._steps = real  # noqa: SLF001
    return {step: seconds * 1e6 / done for step, seconds in spent.items()}


def measure_loss(ledger: Ledger) -> tuple[float, float]:
    """Lose the next message; return the seconds of the pass that finds it, and of its longest command in ms.

    Raises:
        RuntimeError: the pass does not find it.
    """
    ledger.client.rpop(str(Queue.PDF))
    now = ledger.clock
    ledger.clock = lambda: now() + ledger.config.reconcile_after_seconds + 1
    reconciler = Reconciler(ledger, clock=ledger.clock)
    ledger.client.config_set("slowlog-log-slower-than", 0)
    ledger.client.config_set("slowlog-max-len", 100_000)
    ledger.client.slowlog_reset()
    began = time.perf_counter()
    found = reconciler.reconcile()[Queue.PDF]
    seconds = time.perf_counter() - began
    longest = max(entry["duration"] for entry in ledger.client.slowlog_get(100_000))
    ledger.client.config_set("slowlog-log-slower-than", -1)
    ledger.client.slowlog_reset()
    ledger.clock = now
    if found.lost != 1:
        raise RuntimeError(f"The reconciler found {found} instead of the one message that was lost.")
    return seconds, longest / 1_000


def measure_fairness(ledger: Ledger) -> int:
    """Open a small batch behind all that is open; return the place in which its last document is taken."""
    batch_id = new_id()
    wanted = [Submission(document_id=new_id(), source="small.pdf") for _ in range(SMALL)]
    ledger.open(batch_id, Queue.PDF, wanted)
    missing, place = {one.document_id for one in wanted}, 0
    while missing:
        (document_id,) = take(ledger, 1)
        place += 1
        ledger.start(document_id, queue=Queue.PDF, worker="one")
        missing.discard(document_id)
    return place


def measure(*, documents: int) -> Finding:
    """Open `documents`, settle them, and measure what that takes."""
    with Rig() as rig:
        ledger = rig.ledger
        empty, before = used_memory(ledger), cpu_seconds(ledger)
        began = time.perf_counter()
        batch_id = flood(ledger, documents)
        rate = documents / (time.perf_counter() - began)
        opening = (cpu_seconds(ledger) - before) * 1e6 / documents
        opened = used_memory(ledger)
        loss_seconds, command = measure_loss(ledger)
        place = measure_fairness(ledger)
        ledger.client.flushall()
        batch_id = flood(ledger, documents)
        spent = {"open": opening, **measure_steps(ledger, batch_id, documents)}
        settled = used_memory(ledger)
        counts = ledger.batch(batch_id)
        if counts.succeeded != documents:
            raise RuntimeError(f"{documents} documents were opened, and {counts.succeeded} are settled.")
    return Finding(
        parameters={"documents": documents, "small batch": SMALL, "workers": WORKERS},
        series=[
            Series.of("memory of an open document", "B", [(opened - empty) / documents], OPEN_BYTES),
            Series.of("memory of a settled document", "B", [(settled - empty) / documents], SETTLED_BYTES),
            *(Series.of(f"CPU of the server, {step}", "us", [value]) for step, value in spent.items()),
            Series.of("CPU of the server, all steps", "us", [sum(spent.values())], MICROSECONDS),
            Series.of("flood", "documents/s", [rate]),
            Series.of("pass that finds a lost message", "s", [loss_seconds], MEND_SECONDS),
            Series.of("its longest command", "ms", [command], COMMAND_MILLISECONDS),
            Series.of(f"last of {SMALL} behind the flood, place", "documents", [float(place)]),
        ],
        notes=[
            "One client sends its steps in portions to an embedded Valkey on a unix socket with an append-only file."
        ],
    )
