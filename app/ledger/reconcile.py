"""The reconciler: it compares the open documents with the broker's messages, and mends the difference.

A worker receives a message by BRPOP, and records it in the in-flight hash a moment later, usually in the step that
starts the document. A worker that dies between the two loses the message for good; one that dies later leaves it in the
hash until the visibility timeout. The ledger shows both cases, so that the reconciler need not wait for the timeout.

Its findings, and its action for each:

* *lost*: open, but in neither queue nor in-flight hash, twice in a row: sent again.
* *orphaned*: in flight, but its worker is gone or no longer works on it: requeued, first in line.
* *stuck*: in flight, but not started although prefetch is off: requeued.
* *stale*: in flight, but settled (its acknowledgement was lost): dropped.

A wrong guess costs a second execution, never a second settlement.
"""

import logging
from typing import TYPE_CHECKING

import msgspec

from app.ledger.message import document_id_of, message, redelivered
from app.ledger.models import Document, State
from app.queues import DOCUMENT_TASKS, Queue

if TYPE_CHECKING:
    from app.ledger.ledger import Ledger

logger = logging.getLogger(__name__)
SCAN_CHUNK = 1_000


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """The documents that one reconciliation of one queue mended, counted by finding."""

    lost: int = 0
    orphaned: int = 0
    stuck: int = 0
    stale: int = 0

    @property
    def any(self) -> bool:
        """Whether any document was mended."""
        return bool(self.lost or self.orphaned or self.stuck or self.stale)


def anything_open(ledger: "Ledger") -> bool:
    """Return whether there is anything to compare: an open document, or a message in a queue or in flight."""
    with ledger.client.pipeline(transaction=False) as pipe:
        for queue in DOCUMENT_TASKS:
            pipe.exists(ledger.keys.open(queue), str(queue), ledger.keys.inflight(queue))
        return any(pipe.execute())


def reconcile_queues(ledger: "Ledger") -> dict[Queue, Findings]:
    """Reconcile every queue of documents; return the findings by queue."""
    findings = {queue: reconcile(ledger, queue) for queue in DOCUMENT_TASKS}
    for queue, found in findings.items():
        if found.any:
            logger.warning("reconcile %s: %s", queue, found)
    return findings


def reconcile(ledger: "Ledger", queue: Queue) -> Findings:
    """Reconcile one queue; return the findings."""
    inflight = _mend_inflight(ledger, queue)
    return Findings(lost=_resend_lost(ledger, queue), **inflight)


def _mend_inflight(ledger: "Ledger", queue: Queue) -> dict[str, int]:
    """Requeue or drop messages in flight; return the counts of the findings."""
    counts = {"orphaned": 0, "stuck": 0, "stale": 0}
    entries: dict[str, str] = ledger.client.hgetall(ledger.keys.inflight(queue))
    if not entries:
        return counts
    delivered: dict[str, float] = dict(
        ledger.client.zrange(ledger.keys.inflight_index(queue), 0, -1, withscores=True)
    )
    documents = ledger.documents([document_id_of(entry) or "" for entry in entries.values()])
    holders = {document.worker for document in documents if document is not None and document.worker}
    in_progress = _in_progress(ledger, sorted(holders))
    now = ledger.clock()
    for (tag, entry), document in zip(entries.items(), documents, strict=True):
        if document is None:
            continue  # another application's task
        # A worker keeps a message until its retry is due.
        held_back = ledger.config.retry_backoff_max_seconds if document.last_error else 0.0
        finding = _judge(
            document,
            in_progress,
            now=now,
            delivered=delivered.get(tag, now),
            timeout=ledger.config.presence_seconds + held_back,
        )
        if finding is None:
            continue
        back = "" if finding == "stale" else redelivered(entry)
        keys = [
            ledger.keys.inflight(queue),
            ledger.keys.inflight_index(queue),
            str(queue),
            ledger.keys.counts,
        ]
        counts[finding] += int(ledger.run("return", keys, [tag, back]))
    return counts


def _judge(
    document: Document,
    in_progress: dict[str, set[str] | None],
    *,
    now: float,
    delivered: float,
    timeout: float,
) -> str | None:
    """Return the finding about a message in flight, or None if there is nothing to mend."""
    if document.state.final:
        settled_for = now - (document.finished or now)
        return "stale" if settled_for > timeout else None
    if document.state is State.RUNNING and document.worker is not None:
        held = in_progress.get(document.worker)
        if held is None:
            return "orphaned"
        started = document.attempt_started or now
        overdue = now - max(started, delivered) > timeout
        return "orphaned" if overdue and document.document_id not in held else None
    return "stuck" if now - delivered > timeout else None


def _in_progress(ledger: "Ledger", workers: list[str]) -> dict[str, set[str] | None]:
    """Return the documents that each worker reports as in progress; None for a worker that is gone."""
    if not workers:
        return {}
    replies = ledger.client.mget([ledger.keys.worker(worker) for worker in workers])
    return {
        worker: None if reply is None else set(msgspec.json.decode(reply))
        for worker, reply in zip(workers, replies, strict=True)
    }


def _resend_lost(ledger: "Ledger", queue: Queue) -> int:
    keys, client = ledger.keys, ledger.client
    with client.pipeline() as pipe:
        pipe.zcard(keys.open(queue))
        pipe.llen(str(queue))
        pipe.hlen(keys.inflight(queue))
        opened, waiting, inflight = pipe.execute()
    # Every open document has a message, so only fewer messages than documents make the long scan necessary. A duplicate
    # hides a lost message until the duplicate is done.
    if waiting + inflight >= opened:
        client.delete(keys.missing(queue))
        return 0
    old = client.zrange(
        keys.open(queue), "-inf", ledger.clock() - ledger.config.reconcile_after_seconds, byscore=True
    )
    found = _held_by_broker(ledger, queue) if old else set()
    missing = [document_id for document_id in old if document_id not in found]
    # Between BRPOP and its record a message is in neither for a moment: it is lost only if it is missing twice.
    suspects = set(client.smembers(keys.missing(queue)))
    with client.pipeline() as pipe:
        pipe.delete(keys.missing(queue))
        fresh = [document_id for document_id in missing if document_id not in suspects]
        if fresh:
            pipe.sadd(keys.missing(queue), *fresh)
        pipe.execute()
    resent = 0
    for document_id in missing:
        if document_id in suspects:
            names = [keys.document(document_id), keys.open(queue), str(queue), keys.counts]
            args = [document_id, str(queue), ledger.clock(), message(document_id, queue)]
            done = int(ledger.run("resend", names, args))
            if not done:  # settled or advanced, yet still in the open set of this queue
                client.zrem(keys.open(queue), document_id)
            resent += done
    return resent


def _held_by_broker(ledger: "Ledger", queue: Queue) -> set[str]:
    """Return the ids of the documents whose messages wait in the queue or are in flight."""
    held: set[str] = set()
    start = 0
    while page := ledger.client.lrange(str(queue), start, start + SCAN_CHUNK - 1):
        held.update(found for raw in page if (found := document_id_of(raw)))
        start += len(page)
    entries = ledger.client.hvals(ledger.keys.inflight(queue))
    held.update(found for entry in entries if (found := document_id_of(entry)))
    return held
