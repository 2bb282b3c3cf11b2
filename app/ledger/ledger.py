"""The ledger: every document's way through the fleet, one atomic step at a time."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.resources import files
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from app.config import Settings
from app.ledger.connection import connect
from app.ledger.keys import Keys
from app.ledger.models import Document, Options, Outcome, Submission
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
    """What became of every document and batch; safe to use from several threads.

    All times are seconds since the epoch, by the clock of the caller. Every method raises redis errors when
    the server stays away longer than the client's patience.
    """

    def __init__(
        self,
        client: "Redis",
        *,
        prefix: str,
        max_attempts: int,
        retention_seconds: int,
        presence_seconds: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(client, Keys(prefix), clock)
        self.max_attempts = max_attempts
        self.retention_seconds = retention_seconds
        self.presence_seconds = presence_seconds
        self.on_noted: Callable[[str], None] | None = None
        """Told the delivery tag of each message that was noted as in flight in the same step as its attempt."""
        self.on_acknowledged: Callable[[str], None] | None = None
        """Told the delivery tag of each message that was acknowledged in the same step as its document moved on."""
        source = files("app.ledger")
        self._steps = Steps(client, {name: source.joinpath(f"{name}.lua").read_text() for name in SCRIPTS})

    def run(self, step: str, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """Run one of the atomic steps; what each takes and gives stands at the head of its .lua file."""
        return self._steps.run(step, keys, args)

    # The way of one document.

    def open(
        self,
        batch_id: str,
        queue: Queue,
        submissions: Iterable[tuple[Submission, str]],
        *,
        chunk: int,
    ) -> int:
        """Open documents, each with its message on `queue`, in one atomic step a chunk.

        Args:
            batch_id: The batch they belong to; made when it is new.
            queue: Where their messages wait.
            submissions: Each document with its message, as it shall stand in the queue.
            chunk: Documents a step.

        Returns:
            How many were opened; those that were open already are not counted.
        """
        keys = [
            self.keys.batch(batch_id),
            self.keys.batch_documents(batch_id),
            self.keys.batches,
            self.keys.open(queue),
            str(queue),
            self.keys.settled(batch_id),
        ]
        encode = msgspec.json.encode
        default = Options()
        opened = 0

        def send(args: list[Any]) -> int:
            return int(self.run("open", keys, args))

        # The server works on one chunk while the next is being made.
        with ThreadPoolExecutor(1, thread_name_prefix="open") as sender:
            sent: Future[int] | None = None
            for group in chunks(submissions, chunk):
                args: list[Any] = [self.keys.document_prefix, batch_id, self.clock(), str(queue)]
                for document, message in group:
                    options = "" if document.options == default else encode(document.options)
                    args += (document.document_id, document.source, document.object_key, options, message)
                if sent is not None:
                    opened += sent.result()
                sent = sender.submit(send, args)
            if sent is not None:
                opened += sent.result()
        return opened

    def start(
        self, document_id: str, *, queue: Queue, worker: str, delivery_tag: str = "", taken: bytes = b""
    ) -> Document | str:
        """Count an attempt; the work may begin only when a `Document` comes back.

        Args:
            document_id: The document.
            queue: The queue that its message came from.
            worker: Who starts it.
            delivery_tag: The message's, where it is to be acknowledged with the settlement.
            taken: The message as the in-flight hash holds it, where it is not there yet: it is noted with the
                attempt.

        Returns:
            The document, or why it must not be worked on: "unknown", "final" (settled already), "elsewhere"
            (handed on to another queue) or "exhausted" (it had all its attempts: quarantine it).
        """
        reply = self.run(
            "start",
            [
                self.keys.document(document_id),
                self.keys.worker(worker),
                self.keys.inflight(queue),
                self.keys.inflight_index(queue),
            ],
            [
                *(str(queue), self.clock(), worker, self.max_attempts),
                *(document_id, int(self.presence_seconds * 1000), delivery_tag, taken),
            ],
        )
        if reply[0] != "started":
            return str(reply[0])
        if taken and self.on_noted is not None:
            self.on_noted(delivery_tag)
        fields = dict(zip(reply[1::2], reply[2::2], strict=True))
        fields["delivery_tag"] = delivery_tag
        return decode_document(document_id, fields)

    def settle(self, document: Document, outcome: Outcome, *, token: str) -> bool:
        """Settle a document, once.

        Args:
            document: As `start` or `document` gave it.
            outcome: How it ended.
            token: Who settles; the same token again is a repeated request and no duplicate.

        Returns:
            Whether this settlement is the one that counts.
        """
        encode = msgspec.json.encode
        fields: list[Any] = ["results", encode(outcome.results), "message", outcome.message or ""]
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
                *(document.document_id, token, self.clock(), self.retention_seconds, queue),
                *(document.delivery_tag, outcome.state.value, outcome.error or "", *fields),
            ],
        )
        return self._acknowledged(document, bool(reply))

    def advance(
        self, document: Document, queue: Queue, message: str, *, summary: bytes, results: dict[str, str]
    ) -> bool:
        """Hand a document on to `queue` with its message; what was read so far is kept.

        Returns:
            False where it was settled or handed on by someone else meanwhile.
        """
        reply = self.run(
            "advance",
            [
                self.keys.document(document.document_id),
                self.keys.open(document.queue),
                self.keys.open(queue),
                str(queue),
                self.keys.counts,
                self.keys.inflight(document.queue),
                self.keys.inflight_index(document.queue),
            ],
            [
                *(document.document_id, document.queue, str(queue), self.clock(), message),
                *(document.delivery_tag, "summary", summary, "results", msgspec.json.encode(results)),
            ],
        )
        return self._acknowledged(document, bool(reply))

    def _acknowledged(self, document: Document, done: bool) -> bool:
        if done and document.delivery_tag and self.on_acknowledged is not None:
            self.on_acknowledged(document.delivery_tag)
        return done

    def release(self, document: Document, *, code: str, message: str, refund: bool = True) -> bool:
        """Put a started document back to queued.

        Args:
            document: As `start` gave it.
            code: Why, for the record.
            message: The same as a sentence.
            refund: Whether the attempt does not count, because the document is not to blame (a shutdown, a
                full disk).
        """
        keys = [self.keys.document(document.document_id)]
        return bool(self.run("release", keys, [document.worker or "", code, message, int(refund)]))

    # The quarantine.

    def retry(self, document: Document, message: str) -> bool:
        """Send a quarantined document again, with its attempts at zero."""
        reply = self.run(
            "retry",
            [
                self.keys.document(document.document_id),
                self.keys.batch(document.batch),
                self.keys.settled(document.batch),
                self.keys.quarantine,
                self.keys.open(document.queue),
                document.queue,
            ],
            [document.document_id, self.clock(), message],
        )
        return bool(reply)

    def drop(self, document: Document) -> bool:
        """Take a document out of the quarantine for good; it stays settled as quarantined."""
        with self.client.pipeline() as pipe:
            pipe.zrem(self.keys.quarantine, document.document_id)
            pipe.hdel(self.keys.document(document.document_id), "options")
            pipe.expire(self.keys.document(document.document_id), self.retention_seconds)
            return bool(pipe.execute()[0])

    # Signs of life.

    def report_presence(self, worker: str, documents: Sequence[str]) -> None:
        """Say that `worker` lives and has `documents` in hand; holds for `presence_seconds`."""
        value = msgspec.json.encode(list(documents))
        self.client.set(self.keys.worker(worker), value, px=int(self.presence_seconds * 1000))

    def forget_presence(self, worker: str) -> None:
        """Say that `worker` is gone: what it had in hand goes back at the next reconciliation."""
        self.client.delete(self.keys.worker(worker))


def ledger_of(config: Settings) -> Ledger:
    """Return the ledger at `config.redis_url`; nothing is sent until it is used."""
    return Ledger(
        connect(config),
        prefix=config.key_prefix,
        max_attempts=config.max_attempts,
        retention_seconds=config.retention_seconds,
        presence_seconds=config.presence_seconds,
    )
