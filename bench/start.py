"""Time from exec to the first task done: the fleet's worker, and `celery worker` with its defaults."""

import sys
import time
from pathlib import Path

from celery import Celery

from app.ledger.message import new_id
from app.worker.celery_app import broker_url
from bench import documents
from bench.results import Bound, Finding, Series, Target
from bench.rig import START_SECONDS, Rig, end

TITLE = "exec to the first task done"
TARGET = Target(bound=Bound.AT_MOST, value=0.35)
PEER_QUEUE = "peer"
ROOT = Path(__file__).resolve().parents[1]


def measure_worker(rig: Rig, document: Path) -> float:
    """Return the seconds from a worker's exec to the settlement of the PDF that waits for it."""
    batch = new_id()
    submissions = rig.submissions([document], batch)
    rig.send(submissions, batch)
    worker = rig.start_worker()
    try:
        rig.await_settled(batch, [worker], poll=0.02)
    finally:
        worker.end()
    rig.forget(batch)
    (settled,) = rig.documents(submissions)
    if settled.finished is None or settled.error is not None:
        raise RuntimeError(f"{document.name} was not read: {settled.message}")
    return settled.finished - worker.began


def measure_peer(rig: Rig, number: int) -> float:
    """Return the seconds from the exec of `celery worker` to the call of the trivial task that waits for it."""
    url = broker_url(rig.server.url)
    with Celery("peer", broker=url, backend=url, set_as_current=False) as app:
        waiting = app.send_task("peer.moment", queue=PEER_QUEUE)
        command = [
            *(sys.executable, "-m", "celery", "-A", "bench.peer", "worker"),
            *("-Q", PEER_QUEUE, "-n", f"peer-{number}@%h"),
        ]
        process, began, log = rig.start(
            command, f"peer-{number}", PEER_BROKER_URL=url, PYTHONPATH=str(ROOT), C_FORCE_ROOT="true"
        )
        try:
            deadline = time.monotonic() + START_SECONDS
            while not waiting.ready():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(
                        f"celery worker did not start: {log.read_text(errors='replace')[-2_000:]}"
                    )
                time.sleep(0.02)
            done = float(waiting.get(timeout=START_SECONDS))
        finally:
            end(process)
    return done - began


def measure(*, repeats: int) -> Finding:
    """Measure both in turn, after one start of each to fill the disk's cache."""
    (document,) = documents.synthetic_texts(10)[:1]
    ours, theirs = [], []
    with Rig() as rig:
        for repeat in range(repeats + 1):
            ours.append(measure_worker(rig, document))
            theirs.append(measure_peer(rig, repeat))
    ours, theirs = ours[1:], theirs[1:]
    return Finding(
        parameters={"repeats": repeats, "document": f"{document.stat().st_size} bytes"},
        series=[
            Series.of("fleet / celery", "ratio", [a / b for a, b in zip(ours, theirs, strict=True)], TARGET),
            Series.of("python -m app.worker pdf, first PDF settled", "s", ours),
            Series.of("celery worker, first task called", "s", theirs),
        ],
        notes=[
            "celery worker with its defaults: prefork of as many processes as cores, gossip and mingle on.",
            "Its task only tells the time; ours reads a PDF, stores the results and settles it in the ledger.",
        ],
    )
