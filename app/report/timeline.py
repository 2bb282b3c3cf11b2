"""The records of a run as lines of JSON: `timeline.jsonl`, written during the run and read by the report.

The first line is the `Meta`, the last the `RunSummary`; between them are samples, events and documents in any
order. Every time is in seconds since the start of the run. A run that was killed leaves a readable file: one
write appends one line, and `read` ignores an incomplete last line. The names of the fields are the file's format:
a new name would make older recordings unreadable.
"""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

import msgspec

from app.errors import FleetError


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """The machine of a local run."""

    cores: int
    python: str
    celery: str
    system: str = ""
    """Operating system and architecture, from `platform.platform()`."""


class ClusterInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The Kubernetes cluster of a watched run."""

    context: str
    namespace: str
    release: str
    version: str = ""
    """The version of its API server."""
    nodes: dict[str, str] = {}
    """The capacity of each node for workers, in words; empty if listing nodes is not permitted."""


class Meta(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="meta"):
    """The command of a run, and its surroundings."""

    command: str
    machine: Machine | None = None
    """None if the workers were remote: see `cluster`."""
    cluster: ClusterInfo | None = None
    started: datetime = msgspec.field(default_factory=lambda: datetime.now(UTC))
    documents: int = 0
    """How many documents the command submitted; 0 if it watched a fleet that others submit to."""
    seed: int | None = None
    max_replicas: int = 0
    policies: dict[str, dict[str, Any]] = {}
    """The scaling policy of each queue, by the names of its settings."""


class QueueSample(msgspec.Struct, frozen=True, kw_only=True):
    """One queue at one moment."""

    waiting: int
    running: int
    replicas: int
    """Desired replicas."""
    ready: int
    """Replicas that are ready for work."""
    done: int
    """Documents that have passed through the queue so far."""


class Sample(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="sample"):
    """All queues at one moment."""

    t: float
    queues: dict[str, QueueSample]
    settled: int = 0
    failed: dict[str, int] = {}
    """Documents that failed so far, by error code."""
    nodes: dict[str, dict[str, int]] = {}
    """Ready pods by node and queue, on a cluster; it includes nodes without pods."""


class What(StrEnum):
    """The kind of an event."""

    SCALE = "scale"
    REPLACED = "replaced"
    FAULT = "fault"
    RECOVERED = "recovered"
    ROLLOUT = "rollout"


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="event"):
    """An event: the desired replicas changed, a worker died and was replaced, a fault began or ended ..."""

    t: float = 0.0
    what: What
    queue: str | None = None
    before: int | None = None
    after: int | None = None
    message: str = ""


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """A document's passage through one queue: when it entered, when a worker started it, when that work ended."""

    queue: str
    opened: float
    started: float
    finished: float


class DocumentRecord(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="document"
):
    """The outcome of one document, with its times."""

    id: str
    state: str
    opened: float
    started: float | None = None
    finished: float | None = None
    error: str | None = None
    queue: str = ""
    """The queue in which it was settled."""
    stages: list[Stage] = []
    """Its passages, if it went through more than one queue and the times are known."""


class RunSummary(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="summary"):
    """The totals of a run."""

    seconds: float
    """From the start to the last document's settlement."""
    documents: int
    states: dict[str, int]
    failed: dict[str, int]
    """Documents by error code."""
    documents_per_second: float
    """Over the time from the first submission to the last settlement."""
    peak_replicas: dict[str, int]
    replaced: int = 0
    duplicates: int = 0
    """Repeated settlements, which changed nothing."""


Record = Meta | Sample | Event | DocumentRecord | RunSummary
_decoder = msgspec.json.Decoder(Record)


class Timeline:
    """Writer of a `timeline.jsonl`; a context manager that closes the file. Its clock starts at once.

    Args:
        path: the file; an existing one is replaced.
        meta: its first line.
        clock: a monotonic clock, in seconds.

    Raises:
        FleetError: the file cannot be written; also raised by `record`.
    """

    def __init__(self, path: Path, meta: Meta, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.path = path
        self._clock = clock
        self._zero = clock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("wb", buffering=0)
        except OSError as error:
            raise _cannot("written", path, error) from error
        try:
            self.record(meta)
        except FleetError:
            self.close()
            raise

    def elapsed(self) -> float:
        """Return the seconds since the start of the run, to the millisecond."""
        return round(self._clock() - self._zero, 3)

    def record(self, record: Record) -> None:
        """Append a line."""
        try:
            self._file.write(msgspec.json.encode(record) + b"\n")
        except OSError as error:
            raise _cannot("written", self.path, error) from error

    def close(self) -> None:
        """Close the file; `record` cannot be called afterwards."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def encode(records: Sequence[Record]) -> bytes:
    """Return the records as the lines of a `timeline.jsonl`."""
    return msgspec.json.Encoder().encode_lines(records)


def read(path: Path) -> list[Record]:
    """Read a `timeline.jsonl`.

    Raises:
        FleetError: the file cannot be read, or a line before the last is not a record of a timeline.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise _cannot("read", path, error) from error
    # After the last line end there is nothing, or an incomplete line.
    records: list[Record] = []
    for number, line in enumerate(lines[:-1], start=1):
        try:
            records.append(_decoder.decode(line))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise FleetError(f"Line {number} of {path} is not part of a timeline: {error}.") from error
    return records


def _cannot(verb: str, path: Path, error: OSError) -> FleetError:
    return FleetError(f"The timeline {path} cannot be {verb}: {error.strerror or error}.")
