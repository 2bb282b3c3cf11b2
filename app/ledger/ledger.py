"""The ledger's atomic steps: they open, start, advance, settle, requeue and retry documents."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, Any, Self, TypeVar

import msgspec

from app.config import Settings
from app.errors import ServerFullError
from app.ledger.connection import RETRIES, OnError, connect, masked
from app.ledger.keys import Keys
from app.ledger.message import Delivery, template
from app.ledger.models import Advance, Document, NotStarted, Outcome, State, Submission, WhenFull
from app.ledger.reader import Reader
from app.ledger.record import cell, decode_document, encode_options, encode_results, encode_token, micros
from app.ledger.steps import Steps, source
from app.queues import Queue

if TYPE_CHECKING:
    from redis import Redis

T = TypeVar("T")
SCRIPTS = (
    "open",
    "start",
    "settle",
    "advance",
    "requeue",
    "retry",
    "drop",
    "resend",
    "leave",
    "end",
    "report",
    "forget",
    "fill",
    "archive",
    "retire",
)
ROOM = 0.95
"""A flood that waits goes on below this share of `open_below_memory`: else it would stop and go on with each chunk."""


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
        self._steps = Steps(client, {name: source(name) for name in SCRIPTS})

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

    def run(self, step: str, *args: Any) -> Any:
        """Run one of the atomic steps; the head of its .lua file lists arguments and reply."""
        return self._steps.run(step, (self.keys.prefix, *args))

    def filling(self, queue: str) -> tuple[str, int, int, int]:
        """Return the arguments of a step that fills the window of `queue` at its end."""
        return str(queue), micros(self.clock()), self.config.least_window, self.config.events_kept

    def open(
        self,
        batch_id: str,
        queue: Queue,
        submissions: Iterable[Submission],
        *,
        weight: int = 1,
        express: bool = False,
        when_full: WhenFull | None = None,
    ) -> int:
        """Open documents on the lane of their batch, in atomic steps of `flood_chunk` documents.

        Args:
            batch_id: The batch they belong to; created if it is new.
            queue: The queue that works on them first.
            submissions: The documents; the store must hold their originals already.
            weight: The share of the queue that the batch's lane gets, relative to the 1 of an ordinary lane.
            express: Whether they go before every document of an ordinary lane: a person waits for them.
            when_full: What to do if the server is full; None: raise the error.

        Returns:
            The number of documents opened; documents that the ledger knew before are not counted.

        Raises:
            ServerFullError: the server is full; the chunks before this one are open.
        """
        groups = chunks(submissions, self.config.flood_chunk)

        def make() -> list[Any]:
            args: list[Any] = []
            for one in next(groups, []):
                args += (one.document_id, one.source, encode_options(one.options))
            return args

        opened = 0
        # The server works on one chunk while a thread makes the next.
        with ThreadPoolExecutor(1, thread_name_prefix="open") as maker:
            args = make()
            while args:
                following = maker.submit(make)
                lane = batch_id, weight, int(express), template(queue)
                opened += self._open_chunk(queue, lane, args, when_full)
                args = following.result()
        return opened

    def _open_chunk(
        self, queue: Queue, lane: tuple[Any, ...], args: list[Any], when_full: WhenFull | None
    ) -> int:
        share = self.config.open_below_memory
        while isinstance(reply := self._run_open(queue, lane, share, args), list):
            used, most = (int(number) / 2**20 for number in reply)
            error = ServerFullError(
                f"The Redis server at {masked(self.config.redis_url)} has too little memory left for new documents: "
                f"{used:,.1f} of its {most:,.1f} MiB (maxmemory) are in use or needed by open ones, and the limit for "
                f"new ones is {self.config.open_below_memory:.0%}. Raise maxmemory, or wait until documents are "
                "settled and archived, which makes room by itself as long as workers, beat and the object store run."
            )
            if when_full is None:
                raise error
            when_full.refused(error)
            share = self.config.open_below_memory * ROOM
        if when_full is not None:
            when_full.opened(int(reply))
        return int(reply)

    def _run_open(self, queue: Queue, lane: tuple[Any, ...], share: float, args: list[Any]) -> Any:
        return self.run("open", *self.filling(queue), *lane, share, *args)

    def start(
        self, document_id: str, *, queue: Queue, worker: str, delivery: Delivery | None = None
    ) -> Document | NotStarted:
        """Count an attempt; work may begin only if a `Document` comes back.

        Args:
            document_id: The document.
            queue: The queue that its message came from.
            worker: The name of the worker that starts it.
            delivery: The message's delivery; the same step removes it from the worker's list of messages.

        Returns:
            The document, or the reason not to work on it.
        """
        filling = self.filling(queue)
        taken = "" if delivery is None else delivery.taken
        reply = self.run("start", *filling, document_id, worker, self.config.max_attempts, taken)
        if reply[0] != "started":
            return NotStarted(reply[0])
        if delivery is not None:
            delivery.started = True
        fields = dict(zip(reply[2::2], reply[3::2], strict=True))
        # The error of an earlier attempt is over; this attempt begins now, and may be the first.
        fields |= {"s": "r", "a": reply[1], "e": "", "m": "", "x": str(filling[1])}
        return msgspec.structs.replace(decode_document(document_id, fields), worker=worker)

    def settle(self, document: Document, outcome: Outcome, *, token: str) -> bool:
        """Settle a document, once.

        Args:
            document: As `start` or `document` returned it.
            outcome: How it ended.
            token: Identifies the settler, as `worker/attempt`; a second call with the same token is a repeated request
                and no duplicate.

        Returns:
            Whether this settlement counts: only the first one does.
        """
        fields: list[Any] = []
        results = encode_results(outcome.results) if outcome.state is State.SUCCEEDED else ""
        given = {"e": outcome.error, "m": outcome.message, "r": results}
        for name, value in given.items():
            if value:
                fields += (name, value)
        if outcome.summary is not None:
            fields += ("y", outcome.summary)
        now = self.clock()
        reply = self.run(
            "settle",
            *(document.queue, micros(now), document.document_id, document.batch, encode_token(token)),
            *(outcome.state.value, outcome.error or "", *_service(document, now)),
            *fields,
        )
        return bool(reply)

    def advance(self, document: Document, end: Advance) -> bool:
        """Move a document to its next queue, with the results of this pass.

        Args:
            document: As `start` returned it.
            end: The next queue, and the results of this pass.

        Returns:
            False if another worker has settled or advanced it meanwhile.
        """
        reply = self.run(
            "advance",
            *(*self.filling(document.queue), document.document_id, str(end.queue), document.batch),
            *(template(end.queue), *_service(document, self.clock())),
            *("y", end.summary, *(("r", results) if (results := encode_results(end.results)) else ())),
        )
        return bool(reply)

    def requeue(self, document: Document, *, code: str, message: str, refund: bool = True) -> bool:
        """Put a started document back, first in line; return False if it was put back or settled meanwhile.

        Args:
            document: As `start` returned it.
            code: The error code of the attempt.
            message: Its error message.
            refund: Whether the attempt does not count: the document was not the cause (a shutdown).
        """
        return self._put_back(document, refund=refund, code=code, message=message)

    def defer(
        self, document: Document, *, code: str, message: str, pause: float, refund: bool = True
    ) -> bool:
        """Put a started document into the due set, and count a retry.

        Args:
            document: As `start` returned it.
            code: The error code of the attempt.
            message: Its error message.
            pause: Seconds until it is open again.
            refund: Whether the attempt does not count: the document was not the cause (a full disk).
        """
        return self._put_back(document, refund=refund, code=code, message=message, pause=pause)

    def _put_back(
        self, document: Document, *, refund: bool, code: str, message: str, pause: float | None = None
    ) -> bool:
        due = "" if pause is None else micros(self.clock() + pause)
        place = document.document_id, document.worker or "", due
        return self._requeue(
            document.queue, *place, refund=refund, rest=(int(pause is not None), code, message, "")
        )

    def requeue_lost(self, document_id: str, queue: Queue, worker: str, *, refund: bool) -> bool:
        """Put a document back whose worker is gone; refunds the attempt if its surroundings ended the worker."""
        return self._requeue(queue, document_id, worker, "", refund=refund, rest=(0, "", "", "orphaned"))

    def _requeue(
        self,
        queue: str,
        document_id: str,
        worker: str,
        due: int | str,
        *,
        refund: bool,
        rest: tuple[Any, ...],
    ) -> bool:
        limits = self.config.max_interruptions, int(refund)
        return bool(self.run("requeue", *self.filling(queue), document_id, worker, due, *limits, *rest))

    def fill(self, queue: Queue) -> None:
        """Move documents whose pause is over to the open set, and fill the window of the queue."""
        self.run("fill", *self.filling(queue))

    def retry(self, document: Document) -> bool:
        """Open a quarantined document again, with no attempt counted; return whether it was in the quarantine."""
        queue = Queue(document.queue)
        args = (*self.filling(queue), document.document_id, document.batch, template(queue))
        return bool(self.run("retry", *args))

    def drop(self, document: Document) -> bool:
        """Remove a document from the quarantine for good; it stays settled as quarantined."""
        return bool(self.run("drop", document.document_id, document.batch))

    def report_presence(self, queue: Queue, worker: str, documents: Sequence[str]) -> None:
        """Record, by the server's clock, that `worker` lives and has `documents` in progress."""
        self.run("report", str(queue), worker, *documents)

    def forget_workers(self, queue: Queue, process: str) -> None:
        """Record that the worker of a process (as `pdf-1@host/4711`) is gone: its documents are requeued soon."""
        for worker in self.client.hkeys(self.keys.workers(queue)):
            if worker.rpartition(".")[0] == process:
                self.run("forget", str(queue), worker)

    def end_worker(self, queue: Queue, worker: str, documents: Sequence[str]) -> None:
        """Take a worker's documents out of the scaling metric: the worker is being stopped."""
        self.run("end", str(queue), worker, *documents)


def _service(document: Document, now: float) -> tuple[int, int, str]:
    """Return how long a document waited and was worked on (us), and the histogram's cell for that."""
    begun = document.attempt_started or now
    wait = max(0.0, begun - (document.advanced or document.opened))
    work = max(0.0, now - begun)
    return micros(wait), micros(work), cell(wait, work)
