"""Tasks per second from one producer: the fleet's flood, ledger included, and Celery's own `.delay()`."""

import time

from celery import Celery
from redis import Redis

from app.ledger.message import new_id
from app.ledger.models import Submission
from app.queues import Queue
from app.worker.celery_app import broker_url
from bench.results import Bound, Finding, Series, Target
from bench.rig import Rig

TITLE = "tasks sent a second"
TARGET = Target(bound=Bound.AT_LEAST, value=30_000)


def measure_flood(rig: Rig, documents: int) -> float:
    """Return documents/s opened and sent; the time includes making their ids and ledger entries."""
    rig.ledger.client.flushall()
    batch = new_id()
    began = time.perf_counter()
    submissions = (
        Submission(document_id=one, source=f"{number:06}.pdf")
        for number, one in enumerate(new_id() for _ in range(documents))
    )
    sent = rig.ledger.open(batch, Queue.PDF, submissions)
    return sent / (time.perf_counter() - began)


def measure_delay(rig: Rig, tasks: int) -> float:
    """Return tasks/s that an ordinary Celery application sends one by one."""
    rig.ledger.client.flushall()
    with Celery("peer", broker=broker_url(rig.server.url), set_as_current=False) as app:
        task = app.task(name="peer.process")(_peer_task)
        task.delay(new_id())  # connects, and runs the late imports
        began = time.perf_counter()
        for _ in range(tasks):
            task.delay(new_id())
        seconds = time.perf_counter() - began
        queue = app.conf.task_default_queue
    with Redis.from_url(rig.server.url) as client:
        if client.llen(queue) != tasks + 1:
            raise RuntimeError(f"{tasks + 1} tasks were sent, and {client.llen(queue)} are in the queue.")
    return tasks / seconds


def _peer_task(_document_id: str) -> None:
    """A task that is sent and never runs."""


def measure(*, documents: int, tasks: int, repeats: int) -> Finding:
    """Measure both in turn on one server."""
    floods, delays = [], []
    with Rig() as rig:
        for _ in range(repeats):
            floods.append(measure_flood(rig, documents))
            delays.append(measure_delay(rig, tasks))
        parameters = {
            "documents": documents,
            "tasks": tasks,
            "chunk": rig.config.flood_chunk,
            "repeats": repeats,
        }
    return Finding(
        parameters=parameters,
        series=[
            Series.of("flood, ledger included", "documents/s", floods, TARGET),
            Series.of("Celery .delay()", "tasks/s", delays),
            Series.of(
                "flood / .delay()",
                "ratio",
                [ours / theirs for ours, theirs in zip(floods, delays, strict=True)],
            ),
        ],
        notes=[
            "Both from one process to one embedded Valkey on a unix socket, which writes its append-only file."
        ],
    )
