"""Compare what is open with what the broker holds, and mend the difference.

Redis hands a message over by BRPOP and kombu notes it in the in-flight hash by HSET: a worker that dies between
the two takes the message with it for good. And a worker that dies later leaves it in the hash until the
visibility timeout. The ledger knows of both, so nothing has to be waited for and nothing is lost.

What is found, and what is done:

* *lost*: open, but in neither queue nor in-flight hash, twice in a row: sent again.
* *orphaned*: in flight, but its worker is gone or no longer has it in hand: given back, first in line.
* *stuck*: in flight, but not started although prefetch is off: given back.
* *stale*: in flight, but settled (its acknowledgement was lost): dropped.

A wrong guess costs a second execution, never a second settlement.
"""

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import msgspec

from app.ledger.models import Document, State

if TYPE_CHECKING:
    from app.ledger.ledger import Ledger
    from app.queues import Queue

SCAN_CHUNK = 1_000
TASK_ID = re.compile(r'"id": ?"([^"]+)"')
"""Every message carries its document's id as its task id; a scan of a long queue need not decode each whole."""


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """What one reconciliation of one queue mended, as counts of documents."""

    lost: int = 0
    orphaned: int = 0
    stuck: int = 0
    stale: int = 0

    @property
    def any(self) -> bool:
        """Whether there was anything to mend."""
        return bool(self.lost or self.orphaned or self.stuck or self.stale)


def anything_open(ledger: "Ledger", queues: Iterable["Queue"]) -> bool:
    """Say whether there is anything to compare: a document that is open, or a message in a queue or in flight."""
    with ledger.client.pipeline(transaction=False) as pipe:
        for queue in queues:
            pipe.exists(ledger.keys.open(queue), str(queue), ledger.keys.inflight(queue))
        return any(pipe.execute())


def reconcile(
    ledger: "Ledger",
    queue: "Queue",
    *,
    message: Callable[[str, "Queue"], str],
    after_seconds: float,
    hold_seconds: float,
) -> Findings:
    """Mend one queue.

    Args:
        ledger: Where the documents stand.
        queue: The queue to look at.
        message: Makes the message that sends a document (by id) through a queue.
        after_seconds: Documents sent more recently are not looked for.
        hold_seconds: How long a worker may keep a message back until its retry is due.

    Returns:
        What was found and mended.
    """
    orphaned, stuck, stale = _mend_inflight(ledger, queue, hold_seconds=hold_seconds)
    lost = _resend_lost(ledger, queue, message=message, after_seconds=after_seconds)
    return Findings(lost=lost, orphaned=orphaned, stuck=stuck, stale=stale)


def _mend_inflight(ledger: "Ledger", queue: "Queue", *, hold_seconds: float) -> tuple[int, int, int]:
    taken: dict[str, str] = ledger.client.hgetall(ledger.keys.inflight(queue))
    if not taken:
        return 0, 0, 0
    since: dict[str, float] = dict(
        ledger.client.zrange(ledger.keys.inflight_index(queue), 0, -1, withscores=True)
    )
    messages = {tag: msgspec.json.decode(raw)[0] for tag, raw in taken.items()}
    tags = list(messages)
    documents = ledger.documents([messages[tag]["headers"]["id"] for tag in tags])
    holders = {document.worker for document in documents if document is not None and document.worker}
    in_hand = _in_hand(ledger, sorted(holders))
    now = ledger.clock()
    counts = {"orphaned": 0, "stuck": 0, "stale": 0}
    for tag, document in zip(tags, documents, strict=True):
        if document is None:
            continue  # another application's task, which keeps no ledger
        patience = ledger.presence_seconds + (hold_seconds if document.last_error else 0.0)
        finding = _judge(document, in_hand, now=now, taken=since.get(tag, now), patience=patience)
        if finding is None:
            continue
        back = "" if finding == "stale" else _redelivered(messages[tag])
        keys = [
            ledger.keys.inflight(queue),
            ledger.keys.inflight_index(queue),
            str(queue),
            ledger.keys.counts,
        ]
        counts[finding] += int(ledger.run("return", keys, [tag, back]))
    return counts["orphaned"], counts["stuck"], counts["stale"]


def _judge(
    document: Document,
    in_hand: dict[str, set[str] | None],
    *,
    now: float,
    taken: float,
    patience: float,
) -> str | None:
    """Say what is wrong with a message in flight, or None."""
    if document.state.final:
        settled_for = now - (document.finished or now)
        return "stale" if settled_for > patience else None
    if document.state is State.RUNNING and document.worker is not None:
        held = in_hand.get(document.worker)
        if held is None:
            return "orphaned"
        started = document.attempt_started or now
        overdue = now - max(started, taken) > patience
        return "orphaned" if overdue and document.document_id not in held else None
    # Not started. A message whose retry is not due yet is rightly held back: `patience` allows for that.
    return "stuck" if now - taken > patience else None


def _in_hand(ledger: "Ledger", workers: list[str]) -> dict[str, set[str] | None]:
    """Documents that each worker says it has in hand; None for a worker that is gone."""
    if not workers:
        return {}
    replies = ledger.client.mget([ledger.keys.worker(worker) for worker in workers])
    return {
        worker: None if reply is None else set(msgspec.json.decode(reply))
        for worker, reply in zip(workers, replies, strict=True)
    }


def _redelivered(message: dict[str, Any]) -> str:
    """Encode a message as kombu does when it restores one."""
    message["headers"]["redelivered"] = True
    message["properties"]["delivery_info"]["redelivered"] = True
    return msgspec.json.encode(message).decode()


def _resend_lost(
    ledger: "Ledger", queue: "Queue", *, message: Callable[[str, "Queue"], str], after_seconds: float
) -> int:
    keys, client = ledger.keys, ledger.client
    with client.pipeline() as pipe:
        pipe.zcard(keys.open(queue))
        pipe.llen(str(queue))
        pipe.hlen(keys.inflight(queue))
        owed, waiting, inflight = pipe.execute()
    # Every open document has a message, so a queue that holds as many misses none (or hides it behind a
    # duplicate until that one is done): the long scan runs only when the numbers say that it must.
    if waiting + inflight >= owed:
        client.delete(keys.missing(queue))
        return 0
    old = client.zrange(keys.open(queue), "-inf", ledger.clock() - after_seconds, byscore=True)
    found = _held_by_broker(ledger, queue) if old else set()
    missing = [document_id for document_id in old if document_id not in found]
    # A message between BRPOP and HSET is in neither for a moment: only a second look tells.
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
            if not done:  # settled or handed on, yet still in the open set of this queue
                client.zrem(keys.open(queue), document_id)
            resent += done
    return resent


def _held_by_broker(ledger: "Ledger", queue: "Queue") -> set[str]:
    """Ids of the documents whose messages wait in the queue or are in flight."""
    held: set[str] = set()
    start = 0
    while page := ledger.client.lrange(str(queue), start, start + SCAN_CHUNK - 1):
        held.update(match[1] for raw in page if (match := TASK_ID.search(raw)))
        start += len(page)
    for raw in ledger.client.hvals(ledger.keys.inflight(queue)):
        held.add(msgspec.json.decode(raw)[0]["headers"]["id"])
    return held
