"""The ledger's types: documents and their states, the outcomes of work, the counts of batches and queues."""

from enum import StrEnum
from typing import Protocol

import msgspec

from app.documents.models import OcrMode, ResultKind
from app.errors import ServerFullError
from app.queues import Queue


class State(StrEnum):
    """The state of a document; the last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    QUARANTINED = "quarantined"

    @property
    def final(self) -> bool:
        """Whether only `quarantine retry` can still change it."""
        return self in {State.SUCCEEDED, State.FAILED, State.QUARANTINED}


class Options(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The submitter's options; the ledger deletes them when the document is settled, as they may hold a password."""

    ocr: OcrMode = OcrMode.AUTO
    password: str | None = None

    def __repr__(self) -> str:
        """Show all but the password, which must not reach a log."""
        return f"Options(ocr={self.ocr.value!r}, password={'***' if self.password else None})"


NO_OPTIONS = Options()
NO_SUMMARY = msgspec.Raw(b"{}")


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """One document to open, whose original is in the store already: its id, and its owner's name for it."""

    document_id: str
    source: str
    options: Options = NO_OPTIONS


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a document: its final state, with error or results."""

    state: State
    error: str | None = None
    message: str | None = None
    summary: bytes | None = None
    """JSON of the summary that the index line shows: pages, characters and so on."""
    results: tuple[ResultKind, ...] = ()
    """What was stored."""


class Advance(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a pass after which another queue continues with the document."""

    queue: Queue
    summary: bytes
    """As in `Outcome`, of this pass."""
    results: tuple[ResultKind, ...] = ()


class WhenFull(Protocol):
    """What to do while a full server opens no documents."""

    def refused(self, error: ServerFullError) -> None:
        """Return when to try again, or raise an error; called after each refusal."""

    def opened(self, documents: int) -> None:
        """Take note of a chunk that was opened."""


class NotStarted(StrEnum):
    """The reasons not to work on a document."""

    UNKNOWN = "unknown"
    FINAL = "final"
    """It is settled already."""
    ADVANCED = "advanced"
    """It is in another queue now."""
    RUNNING = "running"
    """Another worker is working on it."""
    EXHAUSTED = "exhausted"
    """It had all its attempts: quarantine it."""


class Document(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The ledger's entry of one document; times in seconds since the epoch."""

    document_id: str
    batch: str
    source: str
    state: State
    queue: str
    opened: float
    attempts: int = 0
    attempts_before: int = 0
    """Most attempts that any earlier queue needed."""
    retries: int = 0
    """Retries after transient errors in its present queue."""
    options: Options = NO_OPTIONS
    started: float | None = None
    attempt_started: float | None = None
    advanced: float | None = None
    """Time when its first pass ended and it moved to another queue."""
    finished: float | None = None
    worker: str | None = None
    """The worker that started it, as `start` returns it."""
    error: str | None = None
    message: str | None = None
    last_error: str | None = None
    last_message: str | None = None
    summary: msgspec.Raw = NO_SUMMARY
    results: tuple[ResultKind, ...] = ()

    @property
    def starts(self) -> int:
        """Most starts that any of its queues needed; 1 if nothing went wrong."""
        return max(self.attempts, self.attempts_before)


class BatchCounts(msgspec.Struct, frozen=True, kw_only=True):
    """The counts of one batch; `total` counts the documents opened in it."""

    batch_id: str
    total: int = 0
    succeeded: int = 0
    failed: int = 0
    quarantined: int = 0
    duplicates: int = 0
    """Second settlements, which changed nothing."""
    errors: dict[str, int] = {}
    """Failed and quarantined documents by error code."""
    opened: float | None = None
    finished: float | None = None

    @property
    def settled(self) -> int:
        """Documents in a final state."""
        return self.succeeded + self.failed + self.quarantined

    @property
    def done(self) -> bool:
        """Whether every document of the batch is settled."""
        return self.total > 0 and self.settled >= self.total


class ServiceTimes(msgspec.Struct, frozen=True, kw_only=True):
    """The service times of one queue since the ledger began; a pass is one document's way through one queue.

    The percentiles are upper bounds, as a histogram keeps the times: None is above its last bound.
    """

    passes: int = 0
    mean_wait_seconds: float = 0.0
    """From the moment when a document was opened here to the start of its last attempt."""
    wait_p50_seconds: float | None = 0.0
    wait_p95_seconds: float | None = 0.0
    mean_work_seconds: float = 0.0
    """From the start of that attempt to its end: the seconds a document that scaling needs."""
    work_p50_seconds: float | None = 0.0
    work_p95_seconds: float | None = 0.0


class QueueDepth(msgspec.Struct, frozen=True, kw_only=True):
    """The work of one queue, as KEDA measures it."""

    waiting: int
    running: int
    done: int = 0
    """Passes finished since the ledger began: documents settled here or advanced to another queue."""
    oldest_wait_seconds: float = 0.0
    """Age in seconds of the document that is next in line."""
    ending: int = 0
    """Documents of workers that are being stopped."""
    delayed: int = 0
    """Documents that pause before a retry."""
