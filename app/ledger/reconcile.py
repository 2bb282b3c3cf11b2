"""The reconciler: it finds the documents whose worker or message is gone, and puts them back.

A document is in one place at a time: in the open set, on the queue or in a worker's list as a message, or in the hash
of what is running (or ending). So the window, the workers' lists and these hashes show every loss, however many
documents wait.

Its findings, and what it does about each:

* *lost*: sent a while ago, but neither on the queue nor taken nor running: sent again.
* *orphaned*: running, but its worker is gone or no longer works on it: requeued, first in line.
* *returned*: a message that a worker took before it was gone: put back onto the queue, next in line.
* *stale*: in the open set, but settled or in another queue: removed.

A wrong guess costs a second execution, never a second settlement.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import msgspec

from app.ledger.message import document_id_of, redelivered
from app.ledger.record import MICRO
from app.queues import DOCUMENT_TASKS, Queue

if TYPE_CHECKING:
    from app.ledger.ledger import Ledger

logger = logging.getLogger(__name__)
SCAN_CHUNK = 1_000
ABSENCE_SECONDS = 5.0
"""Shortest time without an answer that counts as an absence of the server."""
SENT = 9e15
"""What the score of a sent document lacks to the time of sending; as in window.lua."""


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """What one pass over one queue put right, as counts."""

    lost: int = 0
    orphaned: int = 0
    returned: int = 0
    stale: int = 0

    @property
    def any(self) -> bool:
        """Whether there was anything to put right."""
        return bool(self.lost or self.orphaned or self.returned or self.stale)


class Report(msgspec.Struct, frozen=True):
    """A worker's last report: its time by the server's clock (0: the worker is known to be gone), and its documents."""

    time: float
    documents: frozenset[str]


class Reconciler:
    """Reconciles the queues of one ledger, a pass at a time; it remembers what the pass before suspected.

    Args:
        ledger: The ledger.
        audited: The most open documents of a queue that one pass compares with their entries.
        clock: The time in seconds since the epoch; None: that of the server, as in the workers' reports.
    """

    def __init__(
        self, ledger: "Ledger", *, audited: int = 10_000, clock: Callable[[], float] | None = None
    ) -> None:
        self._ledger = ledger
        self._clock = clock or self._server_time
        self._audited = audited
        self._suspects: dict[Queue, dict[tuple[str, str], float]] = {}
        self._cursors: dict[Queue, int] = {}
        self._last = self._contact = float("-inf")

    def reconcile(self) -> dict[Queue, Findings]:
        """Make one pass over every queue, and fill the windows; return the findings in each.

        Raises:
            ServerError: the server does not answer.
        """
        now = self.see_server()
        presence = self._ledger.config.presence_seconds
        findings = {}
        for queue in Queue:
            findings[queue] = found = self._reconcile(queue, now, silent=now - self._contact > presence / 2)
            if found.any:
                logger.warning("reconcile %s: %s", queue, found)
            if queue in DOCUMENT_TASKS:
                self._ledger.fill(queue)
        return findings

    def see_server(self) -> float:
        """Record that the server answers, and return the time; call it more often than passes are made.

        After a longer time without an answer workers count as gone only when they have had the time to report again.

        Raises:
            ServerError: the server does not answer.
        """
        now = self._clock()
        if now - self._last > max(self._ledger.config.presence_seconds / 2, ABSENCE_SECONDS):
            self._contact = now
        self._last = now
        return now

    def _server_time(self) -> float:
        seconds, micros = self._ledger.client.time()
        return float(seconds + micros / MICRO)

    def _reconcile(self, queue: Queue, now: float, *, silent: bool) -> Findings:
        reports = self._reports(queue)
        timeout = self._ledger.config.presence_seconds
        gone = {
            worker
            for worker, report in reports.items()
            if report.time == 0 or (silent and now - report.time > timeout)
        }
        orphaned = self._requeue_orphans(queue, now, reports, gone)
        returned = sum(self._return_messages(queue, worker) for worker in gone)
        lost = stale = 0
        if queue in DOCUMENT_TASKS:
            lost = self._resend_lost(queue, now, reports.keys() - gone)
            stale = self._remove_stale(queue)
        return Findings(lost=lost, orphaned=orphaned, returned=returned, stale=stale)

    def _reports(self, queue: Queue) -> dict[str, Report]:
        found = self._ledger.client.hgetall(self._ledger.keys.workers(queue))
        reports = {}
        for worker, text in found.items():
            moment, _, documents = text.partition(" ")
            reports[worker] = Report(float(moment), frozenset(documents.split()))
        return reports

    def _requeue_orphans(self, queue: Queue, now: float, reports: dict[str, Report], gone: set[str]) -> int:
        """Requeue what is running, or was when its worker was stopped, and whose worker does not work on it."""
        ledger, keys = self._ledger, self._ledger.keys
        before, suspects = self._suspects.get(queue, {}), {}
        restarted = _restarted(reports, gone)
        orphaned = 0
        for key, surroundings in ((keys.running(queue), False), (keys.ending(queue), True)):
            for document_id, worker in ledger.client.hgetall(key).items():
                report = reports.get(worker)
                if worker not in gone:
                    if report is not None and document_id in report.documents:
                        continue
                    since = before.get((document_id, worker))
                    # A worker may have started it since its last report: the next report tells.
                    if since is None or (report is not None and report.time <= since):
                        suspects[document_id, worker] = since or now
                        continue
                # A worker that was stopped, or whose pod did not come back, was ended by its surroundings.
                refund = surroundings or (report is not None and report.time > 0 and worker not in restarted)
                orphaned += ledger.requeue_lost(document_id, queue, worker, refund=refund and worker in gone)
        self._suspects[queue] = suspects
        return orphaned

    def _return_messages(self, queue: Queue, worker: str) -> int:
        """Put the messages that a worker took before it was gone back onto the queue, and forget the worker."""
        ledger = self._ledger
        taken = ledger.keys.taken(queue, worker)
        messages = ledger.client.lrange(taken, 0, -1)
        returned = sum(
            int(ledger.run("leave", str(queue), taken, message, "", redelivered(message), "returned"))
            for message in messages
        )
        ledger.client.hdel(ledger.keys.workers(queue), worker)
        return returned

    def _resend_lost(self, queue: Queue, now: float, workers: Iterable[str]) -> int:
        """Send the documents again that were sent and are nowhere."""
        ledger, client = self._ledger, self._ledger.client
        oldest = (now - ledger.config.reconcile_after_seconds) * MICRO - SENT
        sent = client.zrange(
            ledger.keys.open(queue), "-inf", oldest, byscore=True, offset=0, num=self._audited
        )
        if not sent:
            return 0
        # In the order in which a document moves, so that one that moves meanwhile is seen; `resend` looks once more.
        held = set(self._window(queue))
        with client.pipeline(transaction=False) as pipe:
            for worker in workers:
                pipe.lrange(ledger.keys.taken(queue, worker), 0, -1)
            held.update(document_id_of(raw) or "" for taken in pipe.execute() for raw in taken)
        held |= client.hgetall(ledger.keys.running(queue)).keys()
        missing = [document_id for document_id in sent if document_id not in held]
        return sum(int(ledger.run("resend", *ledger.filling(queue), document_id)) for document_id in missing)

    def _window(self, queue: Queue) -> Iterator[str]:
        """Yield the ids of the documents whose messages wait on the queue."""
        start = 0
        while page := self._ledger.client.lrange(str(queue), start, start + SCAN_CHUNK - 1):
            yield from filter(None, map(document_id_of, page))
            start += len(page)

    def _remove_stale(self, queue: Queue) -> int:
        """Compare the next open documents with their entries; remove those that are not open in this queue."""
        client, keys = self._ledger.client, self._ledger.keys
        stale = seen = 0
        while seen < self._audited:
            cursor, page = client.zscan(keys.open(queue), self._cursors.get(queue, 0), count=SCAN_CHUNK)
            self._cursors[queue] = cursor
            names = [document_id for document_id, _ in page]
            documents = self._ledger.documents(names)
            wrong = [
                document_id
                for document_id, document in zip(names, documents, strict=True)
                if document is None or document.state.final or document.queue != queue
            ]
            if wrong:
                stale += client.zrem(keys.open(queue), *wrong)
            seen += len(page)
            if cursor == 0:
                break
        return stale


def _restarted(reports: dict[str, Report], gone: set[str]) -> set[str]:
    """Return the workers that are gone while another of the same host lives: they crashed, and were restarted."""
    alive = {worker.partition("/")[0] for worker in reports.keys() - gone}
    return {worker for worker in gone if worker.partition("/")[0] in alive}
