"""The words of the ledger: states, what is known of a document, a batch's counts."""

from enum import StrEnum

import msgspec

from app.documents.models import OcrMode


class State(StrEnum):
    """Where a document stands; the last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    QUARANTINED = "quarantined"

    @property
    def final(self) -> bool:
        """Whether nothing will change it any more but `quarantine retry`."""
        return self in {State.SUCCEEDED, State.FAILED, State.QUARANTINED}


class Options(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the submitter asked for; forgotten when the document is settled, as it may hold a password."""

    ocr: OcrMode = OcrMode.AUTO
    password: str | None = None

    def __repr__(self) -> str:
        """Show all but the password, which must not reach a log."""
        return f"Options(ocr={self.ocr.value!r}, password={'***' if self.password else None})"


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """One document to open: its id, the name its owner knows it by, and where its original lies."""

    document_id: str
    source: str
    object_key: str
    options: Options = Options()


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a document ended."""

    state: State
    error: str | None = None
    message: str | None = None
    summary: bytes | None = None
    """JSON of the summary that the index line shows: pages, characters and so on."""
    results: dict[str, str] = {}
    """Object keys by what they hold: text, thumbnail, document."""


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """What the ledger knows of one document; times in seconds since the epoch."""

    document_id: str
    batch: str
    source: str
    object: str
    state: State
    queue: str
    opened: float
    attempts: int = 0
    attempts_before: int = 0
    options: Options = Options()
    started: float | None = None
    attempt_started: float | None = None
    advanced: float | None = None
    """When its first pass handed it on to another queue."""
    finished: float | None = None
    worker: str | None = None
    error: str | None = None
    message: str | None = None
    last_error: str | None = None
    last_message: str | None = None
    summary: msgspec.Raw = msgspec.Raw(b"{}")
    results: dict[str, str] = {}
    delivery_tag: str = ""
    """Of the message that this start came with; not kept."""

    @property
    def starts(self) -> int:
        """The most starts that any of its queues needed; 1 where nothing went wrong."""
        return max(self.attempts, self.attempts_before)


class BatchCounts(msgspec.Struct, frozen=True, kw_only=True):
    """A batch's counts; `total` is what was opened."""

    batch_id: str
    total: int = 0
    succeeded: int = 0
    failed: int = 0
    quarantined: int = 0
    duplicates: int = 0
    """Settlements that came second and changed nothing."""
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


class QueueDepth(msgspec.Struct, frozen=True, kw_only=True):
    """How much work a queue has: LLEN of the list and HLEN of the in-flight hash."""

    waiting: int
    inflight: int
    done: int = 0
    """Passes finished since the ledger began: settled here, or handed on."""
    oldest_wait_seconds: float = 0.0
    """Age of the open document that was sent first."""
