"""The ledger's atomic steps: they open, start, advance, settle, release and retry documents."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from itertools import islice
from typing import TYPE_CHECKING, Any, Self, TypeVar

import msgspec

from app.config import Settings
from app.ledger.connection import RETRIES, OnError, connect
from app.ledger.keys import Keys
from app.ledger.message import Delivery, message
from app.ledger.models import Advance, Document, NotStarted, Options, Outcome, Submission
from app.ledger.reader import Reader, decode_document
from app.ledger.steps import Steps
from app.queues import Queue

if TYPE_CHECKING:
    from redis import Redis

T = TypeVar("T")
SCRIPTS = ("open", "start", "settle", "advance", "release", "retry", "resend", "return")


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Cut `items` into lists of `size`."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


class Ledger(Reader):
    """The state of every document and batch: the queries of `Reader`, and the steps that change it.

    Threads, times and errors: as for `Reader`.
    """

    def __init__(self, client: "Redis", config: Settings, clock: Callable[[], float] = time.time) -> None:
        super().__init__(client, Keys(config.key_prefix), clock)
        self.config = config
        source = files("app.ledger")
        self._steps = Steps(client, {name: source.joinpath(f"{name}.lua").read_text() for name in SCRIPTS})

    @classmethod
    def of(cls, config: Settings, *, retries: int = RETRIES, on_error: OnError | None = None) -> Self:
        """Return the ledger at `config.redis_url`; it sends nothing until it is used.

        Args:
            config: The settings of this process.
            retries: How often a command is repeated while the server is away.
            on_error: Called if all tries failed; see `app.ledger.connection.OnError`.

        Raises:
            SettingsError: `config.redis_url` is missing or cannot be used.
        """
        return cls(connect(config, retries=retries, on_error=on_error), config)

    def run(self, step: str, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """Run one of the atomic steps; the head of its .lua file lists keys, arguments and reply."""
        return self._steps.run(step, keys, args)

    def open(self, batch_id: str, queue: Queue, submissions: Iterable[Submission]) -> int:
        """Open documents, each with its message on `queue`, in atomic steps of `flood_chunk` documents.

        Args:
            batch_id: The batch they belong to; created if it is new.
            queue: Where their messages wait.
            submissions: The documents; the store must hold their originals already.

        Returns:
            The number of documents opened; documents that the ledger knew before are not counted.
        """
        keys = [
            self.keys.batch(batch_id),
            self.keys.batch_documents(batch_id),
            self.keys.batches,
            self.keys.open(queue),
            str(queue),
            self.keys.settled(batch_id),
        ]
        default = Options()
        groups = chunks(submissions, self.config.flood_chunk)

        def make() -> list[Any]:
            args: list[Any] = []
            for one in next(groups, []):
                options = "" if one.options == default else msgspec.json.encode(one.options)
                args += one.document_id, one.source, one.object_key, options, message(one.document_id, queue)
            return args

        opened = 0
        # The server works on one chunk while a thread makes the next.
        with ThreadPoolExecutor(1, thread_name_prefix="open") as maker:
            args = make()
            while args:
                following = maker.submit(make)
                head = self.keys.document_prefix, batch_id, self.clock(), str(queue)
                opened += int(self.run("open", keys, [*head, *args]))
                args = following.result()
        return opened

    def start(
        self, document_id: str, *, queue: Queue, worker: str, delivery: Delivery | None = None
    ) -> Document | NotStarted:
        """Count an attempt; work may begin only if a `Document` comes back.

        Args:
            document_id: The document.
            queue: The queue that its message came from.
            worker: The name of the worker that starts it.
            delivery: The message's delivery; if the in-flight hash does not hold it yet, the same step records it.

        Returns:
            The document, or the reason not to work on it.
        """
        tag, entry = (delivery.tag, delivery.entry) if delivery and not delivery.recorded else ("", b"")
        reply = self.run(
            "start",
            [
                self.keys.document(document_id),
                self.keys.worker(worker),
                self.keys.inflight(queue),
                self.keys.inflight_index(queue),
            ],
            [
                *(str(queue), self.clock(), worker, self.config.max_attempts),
                *(document_id, int(self.config.presence_seconds * 1000), tag, entry),
            ],
        )
        if reply[0] != "started":
            return NotStarted(reply[0])
        if delivery is not None:
            delivery.recorded = True
        return decode_document(document_id, dict(zip(reply[1::2], reply[2::2], strict=True)))

    def settle(
        self, document: Document, outcome: Outcome, *, token: str, delivery: Delivery | None = None
    ) -> bool:
        """Settle a document, once.

        Args:
            document: As `start` or `document` returned it.
            outcome: How it ended.
            token: Identifies the settler; a second call with the same token is a repeated request and no duplicate.
            delivery: The message's delivery, which the same step acknowledges.

        Returns:
            Whether this settlement counts: only the first one does.
        """
        results = msgspec.json.encode(outcome.results)
        fields: list[Any] = ["results", results, "message", outcome.message or ""]
        if outcome.summary is not None:
            fields += ["summary", outcome.summary]
        queue = document.queue
        reply = self.run(
            "settle",
            [
                self.keys.document(document.document_id),
                self.keys.batch(document.batch),
                self.keys.settled(document.batch),
                self.keys.quarantine,
                self.keys.open(queue),
                self.keys.counts,
                self.keys.batch_documents(document.batch),
                self.keys.inflight(queue),
                self.keys.inflight_index(queue),
            ],
            [
                *(document.document_id, token, self.clock(), self.config.retention_seconds, queue),
                *(delivery.tag if delivery else "", outcome.state.value, outcome.error or "", *fields),
            ],
        )
        return _acknowledged(delivery, bool(reply))

    def advance(self, document: Document, end: Advance, *, delivery: Delivery | None = None) -> bool:
        """Move a document to its next queue, with a new message there, and record the results of this pass.

        Args:
            document: As `start` returned it.
            end: The next queue, and the results of this pass.
            delivery: The message's delivery, which the same step acknowledges.

        Returns:
            False if another worker has settled or advanced it meanwhile.
        """
        reply = self.run(
            "advance",
            [
                self.keys.document(document.document_id),
                self.keys.open(document.queue),
                self.keys.open(end.queue),
                str(end.queue),
                self.keys.counts,
                self.keys.inflight(document.queue),
                self.keys.inflight_index(document.queue),
            ],
            [
                *(document.document_id, document.queue, str(end.queue), self.clock()),
                *(message(document.document_id, end.queue), delivery.tag if delivery else ""),
                *("summary", end.summary, "results", msgspec.json.encode(end.results)),
            ],
        )
        return _acknowledged(delivery, bool(reply))

    def release(self, document: Document, *, code: str, message: str, refund: bool = True) -> bool:
        """Set a started document back to queued; return False if another worker has started or settled it meanwhile.

        Args:
            document: As `start` returned it.
            code: The error code of the attempt.
            message: Its error message.
            refund: Whether the attempt does not count: the document was not the cause (a shutdown, a full disk).
        """
        keys = [self.keys.document(document.document_id)]
        return bool(self.run("release", keys, [document.worker or "", code, message, int(refund)]))

    def retry(self, document: Document) -> bool:
        """Send a quarantined document again, with no attempt counted; return whether it was in the quarantine."""
        queue = Queue(document.queue)
        reply = self.run(
            "retry",
            [
                self.keys.document(document.document_id),
                self.keys.batch(document.batch),
                self.keys.settled(document.batch),
                self.keys.quarantine,
                self.keys.open(queue),
                str(queue),
            ],
            [document.document_id, self.clock(), message(document.document_id, queue)],
        )
        return bool(reply)

    def drop(self, document: Document) -> bool:
        """Remove a document from the quarantine for good; it stays settled as quarantined."""
        with self.client.pipeline() as pipe:
            pipe.zrem(self.keys.quarantine, document.document_id)
            pipe.hdel(self.keys.document(document.document_id), "options")
            pipe.expire(self.keys.document(document.document_id), self.config.retention_seconds)
            return bool(pipe.execute()[0])

    def report_presence(self, worker: str, documents: Sequence[str]) -> None:
        """Record that `worker` lives and has `documents` in progress; the record expires after `presence_seconds`."""
        value = msgspec.json.encode(list(documents))
        self.client.set(self.keys.worker(worker), value, px=int(self.config.presence_seconds * 1000))

    def forget_presence(self, worker: str) -> None:
        """Record that `worker` is gone: the next reconciliation requeues the documents it had in progress."""
        self.client.delete(self.keys.worker(worker))


def _acknowledged(delivery: Delivery | None, done: bool) -> bool:
    if done and delivery is not None:
        delivery.acknowledged = True
    return done
