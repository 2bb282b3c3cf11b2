"""What a run looked like, as lines of JSON: `timeline.jsonl`, written while it runs and read by the report.

The first line is the `Meta`, the last the `RunSummary`; between them samples, events and documents in any order.
Every time is in seconds since the start of the run. A run that was killed leaves a readable file: each line
is written in one go, and a last line that breaks off is passed over.
"""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from app.errors import FleetError


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Where the run took place."""

    cores: int
    python: str
    celery: str
    system: str = ""
    """Operating system and architecture, as `platform.platform()` has it."""


class ClusterInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The Kubernetes cluster that a recording comes from."""

    context: str
    namespace: str
    release: str
    version: str = ""
    """Of its API server."""
    nodes: dict[str, str] = {}
    """What each node for workers has, in words; empty where nodes may not be listed."""


class Meta(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="meta"):
    """What was run, and on what."""

    command: str
    machine: Machine | None = None
    """None where the workers were elsewhere: see `cluster`."""
    cluster: ClusterInfo | None = None
    started: datetime = msgspec.field(default_factory=lambda: datetime.now(UTC))
    documents: int = 0
    """How many were asked for; 0 where a fleet was watched that others gave its documents."""
    seed: int | None = None
    max_replicas: int = 0
    policies: dict[str, dict[str, Any]] = {}
    """The scaling policy of each queue, by the names of its settings."""


class QueueSample(msgspec.Struct, frozen=True, kw_only=True):
    """One queue at one moment."""

    waiting: int
    running: int
    replicas: int
    """Asked for by the policy."""
    ready: int
    """Replicas that take work."""
    done: int
    """Documents that have passed through the queue so far."""


class Sample(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="sample"):
    """All queues at one moment."""

    t: float
    queues: dict[str, QueueSample]
    settled: int = 0
    failed: dict[str, int] = {}
    """Documents that failed so far, by code of the error."""
    nodes: dict[str, dict[str, int]] = {}
    """Ready pods by node and queue, where the workers are on a cluster; a node without any is there too."""


class What(StrEnum):
    """What an event was."""

    SCALE = "scale"
    REPLACED = "replaced"
    FAULT = "fault"
    RECOVERED = "recovered"
    ROLLOUT = "rollout"


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="event"):
    """Something that happened: other replicas were asked for, one died and was replaced, something broke ..."""

    t: float = 0.0
    what: What
    queue: str | None = None
    before: int | None = None
    after: int | None = None
    message: str = ""


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """A document's passage through one queue: put into it, taken by a worker, done with."""

    queue: str
    opened: float
    started: float
    finished: float


class DocumentRecord(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="document"
):
    """What became of one document, and when."""

    id: str
    state: str
    opened: float
    started: float | None = None
    finished: float | None = None
    error: str | None = None
    queue: str = ""
    """The queue that it was settled in."""
    stages: list[Stage] = []
    """Its passages one by one, where more than one queue had it and the times between are known."""


class RunSummary(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="summary"):
    """The run in a few numbers."""

    seconds: float
    """From the start to the last document's settlement."""
    documents: int
    states: dict[str, int]
    failed: dict[str, int]
    """By code of the error."""
    documents_per_second: float
    """From when the first was sent to when the last was settled."""
    peak_replicas: dict[str, int]
    replaced: int = 0
    duplicates: int = 0
    """Settlements that came a second time and changed nothing."""


Record = Meta | Sample | Event | DocumentRecord | RunSummary
_decoder = msgspec.json.Decoder(Record)


class Timeline:
    """Writes `timeline.jsonl`; a context manager that starts the clock and closes the file.

    Args:
        path: the file; what was there is replaced.
        meta: its first line.
        clock: seconds that never run backwards.

    Raises:
        FleetError: the file cannot be written; from here and from `record`.
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
        """Seconds since the start of the run, to the millisecond."""
        return round(self._clock() - self._zero, 3)

    def record(self, record: Record) -> None:
        """Add a line."""
        try:
            self._file.write(msgspec.json.encode(record) + b"\n")
        except OSError as error:
            raise _cannot("written", self.path, error) from error

    def close(self) -> None:
        """Close the file; nothing can be recorded afterwards."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def encode(records: Sequence[Record]) -> bytes:
    """The records as the lines of a `timeline.jsonl`."""
    return b"".join(msgspec.json.encode(record) + b"\n" for record in records)


def read(path: Path) -> list[Record]:
    """Read a `timeline.jsonl`.

    Raises:
        FleetError: the file cannot be read, or a line that is not the last is no record of a timeline.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise _cannot("read", path, error) from error
    # What follows the last line end is empty, or a line that was never finished.
    records: list[Record] = []
    for number, line in enumerate(lines[:-1], start=1):
        try:
            records.append(_decoder.decode(line))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise FleetError(f"Line {number} of {path} is not part of a timeline: {error}.") from error
    return records


def _cannot(verb: str, path: Path, error: OSError) -> FleetError:
    return FleetError(f"The timeline {path} cannot be {verb}: {error.strerror or error}.")
