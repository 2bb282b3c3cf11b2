"""The settings of the fleet, each with its unit, default, reason and guard.

A setting is the environment variable `FLEET_` + its name in capitals. msgspec reads it rather than
pydantic-settings, which would add a fifth to a worker's start (docs/decisions/0003-settings-by-msgspec.md).
"""

import os
from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from app.errors import SettingsError

PREFIX = "FLEET_"
GRACE_RESERVE_SECONDS = 15.0
"""Seconds reserved at the end of the termination grace period to requeue the message and exit."""

_SECONDS_PER_DOCUMENT = r"^$|^[a-z0-9-]+=[0-9]+(\.[0-9]+)?(,[a-z0-9-]+=[0-9]+(\.[0-9]+)?)*$"

Positive = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(gt=0, le=366 * 24 * 3_600)]  # bounded: no server accepts "inf" as a time


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of one process; `load` reads them from the environment and checks them."""

    # Addresses.
    redis_url: str = ""
    """Redis server of broker and ledger; empty: a local fleet starts a Valkey server of its own."""
    redis_ca_file: str = ""
    """File with the CA certificates (PEM) for a rediss:// server; empty: the system's."""
    store_url: str = ""
    """Store of originals and results: file://, s3://bucket/prefix or memory://; empty: a folder of the local run."""
    key_prefix: Annotated[str, Meta(min_length=1)] = "fleet:"
    """Prefix of every Redis key except the queues, whose keys are their names."""

    # A worker.
    heartbeat_file: str = ""
    """File that a worker (or beat) touches while it works, waits for work, or waits for its server; a liveness probe
    checks its age. Empty: none."""
    presence_seconds: Seconds = 30.0
    """Time after its last report from which a worker counts as dead; its documents then go to another."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "WARNING"
    """Lowest level that is logged; at INFO Celery writes several lines per document."""

    # Attempts and time. `check_order` demands soft limit < grace - 15.
    max_attempts: Positive = 3
    """Number of starts after which a document is quarantined instead of started again."""
    max_interruptions: Annotated[int, Meta(ge=0)] = 10
    """Number of starts that do not count as the worker was ended from outside (a shutdown, a lost node)."""
    max_retries: Annotated[int, Meta(ge=0)] = 20
    """Number of retries of a task after transient errors."""
    retry_backoff_seconds: Seconds = 0.5
    """Pause before the first retry; each further pause is twice as long, with jitter."""
    retry_backoff_max_seconds: Seconds = 60.0
    """Longest pause before a retry; with a short one, documents soon use a store that has recovered."""
    soft_limit_seconds: Seconds = 480.0
    """Time after which OCR of a document ends and keeps the pages recognised so far; 100 pages take 150 s."""
    grace_seconds: Seconds = 555.0
    """Time between SIGTERM and SIGKILL: terminationGracePeriodSeconds; node autoscalers wait at most 600 s."""
    result_expires_seconds: Positive = 3_600
    """How long Celery keeps the result of a task that stores one; the results of documents are in the ledger."""

    # Queues.
    window: Annotated[str, Meta(pattern="^([1-9][0-9]{0,5}|all)$")] = "16"
    """Fewest messages that a queue holds while documents wait (it holds twice the running documents if that is more);
    `all`: every open document has its message on the queue."""

    events_kept: Annotated[int, Meta(ge=1_000)] = 50_000
    """Events that the ledger's stream keeps, about: a follower that was away for longer misses the older ones."""

    # The reconciler.
    reconcile_seconds: Seconds = 10.0
    """Interval at which the reconciler searches for documents whose worker or message is gone."""
    reconcile_after_seconds: Seconds = 20.0
    """Age in its queue from which a document's missing message counts as lost: a younger one may be on its way."""

    # The archive: settled documents leave Redis for the object store.
    archive_after_seconds: Seconds = 3_600.0
    """Time after which a settled document leaves the ledger for the archive; 60 s if the ledger is under pressure."""
    settled_documents: Positive = 100_000
    """Settled documents from which the ledger is under pressure; 100,000 take some 30 MB of Redis."""
    archive_above_memory: Annotated[float, Meta(gt=0, le=1)] = 0.5
    """Share of the Redis server's maxmemory from which the ledger is under pressure."""
    retention_seconds: Positive = 7 * 24 * 3_600
    """How long the archive keeps a batch, from the time at which all of it had left the ledger."""

    # Scaling.
    seconds_per_document: Annotated[str, Meta(pattern=_SECONDS_PER_DOCUMENT)] = ""
    """Seconds that scaling counts on for a document of each queue, as `pdf=0.5,ocr=1.5`: `fleet status` says if workers
    need twice as long or half of that. Empty: not known."""

    # Limits of one document.
    max_document_bytes: Positive = 100 * 1024 * 1024
    """Larger documents are refused unread: a worker holds its document in memory."""
    max_pages: Positive = 2_000
    """Documents with more pages are refused unread."""
    max_text_characters: Positive = 20_000_000
    """Most characters of text over all pages of one document; bombs expand to billions."""
    max_image_pixels: Positive = 100_000_000
    """Most pixels (width x height) of an image document; its header is checked before it is decoded."""
    thumbnail_pixels: Annotated[int, Meta(ge=16, le=4_096)] = 320
    """Longest side of the JPEG thumbnail of page 1."""
    ocr_dpi: Annotated[int, Meta(ge=72, le=600)] = 200
    """Dots per inch at which a page is rendered for OCR; below 150 small print is lost, above 200 only time."""
    ocr_max_pixels: Positive = 40_000_000
    """Most pixels (width x height) of the bitmap for OCR; larger pages are rendered at a lower resolution."""
    ocr_max_pages: Positive = 200
    """Most pages of one document that are recognised; the others are listed with the reason."""
    sandbox_memory_bytes: Annotated[int, Meta(ge=256 * 1024 * 1024)] = 1024 * 1024 * 1024
    """Address space of the sandbox's child (RLIMIT_AS): real hostile PDFs allocate 5 GB."""
    sandbox_cpu_seconds: Positive = 30
    """CPU time of the child for one document: PDFium can loop for ever."""
    sandbox_wall_seconds: Seconds = 60.0
    """Wall time for one document, or one page of OCR; capped at the soft limit, and at the time from it to grace - 15,
    as OCR checks the soft limit only between pages."""
    sandbox_output_bytes: Positive = 64 * 1024 * 1024
    """Most bytes of results that the child may return for one document."""
    sandbox_max_documents: Positive = 1_000
    """Number of documents after which the child is replaced: bounds a leak in PDFium."""

    # Sending and storing.
    flood_chunk: Annotated[int, Meta(ge=1, le=2_000)] = 500
    """Documents that one atomic step opens; a larger number is faster and blocks the server for longer."""
    open_below_memory: Annotated[float, Meta(gt=0, le=1)] = 0.75
    """Share of the Redis server's maxmemory from which no document is opened; the rest is for the work on open ones."""
    full_server_timeout_seconds: Seconds = 24 * 3_600.0
    """How long in all a command that opens documents waits for room on a full Redis server before it fails."""
    server_timeout_seconds: Seconds = 30.0
    """How long `fleet status --follow`, and a local run on a server that it did not start, wait for a Redis server that
    went away."""
    socket_timeout_seconds: Seconds = 10.0
    """How long the broker, ledger or object store may stay silent before the connection counts as broken."""

    @property
    def least_window(self) -> int:
        """`window` as a number; 0 stands for `all`."""
        return 0 if self.window == "all" else int(self.window)

    @property
    def expected_seconds(self) -> dict[str, float]:
        """`seconds_per_document` by queue."""
        pairs = (part.split("=") for part in self.seconds_per_document.split(",") if part)
        return {queue: float(seconds) for queue, seconds in pairs}

    def require(self, name: Literal["redis_url", "store_url"]) -> str:
        """Return the address `redis_url` or `store_url`.

        Raises:
            SettingsError: it is not set.
        """
        value = str(getattr(self, name))
        if not value:
            what = {"redis_url": "the Redis server", "store_url": "the object store"}[name]
            raise SettingsError(f"Set FLEET_{name.upper()} to {what} of the fleet.")
        return value


def check_order(settings: Settings) -> None:
    """Refuse time limits in an order that loses work, and shares of memory with which a flood waits for nothing.

    Raises:
        SettingsError: the message names the two settings, their values, and the one that must be larger.
    """
    steps = (
        ("FLEET_SOFT_LIMIT_SECONDS", settings.soft_limit_seconds),
        ("FLEET_GRACE_SECONDS - 15", settings.grace_seconds - GRACE_RESERVE_SECONDS),
        ("FLEET_GRACE_SECONDS", settings.grace_seconds),
    )
    for (lower, low), (higher, high) in pairwise(steps):
        if not low < high:
            raise SettingsError(f"{lower} ({low:g} s) must be less than {higher} ({high:g} s).")
    if not settings.archive_above_memory < settings.open_below_memory:
        raise SettingsError(
            f"FLEET_ARCHIVE_ABOVE_MEMORY ({settings.archive_above_memory:g}) must be less than "
            f"FLEET_OPEN_BELOW_MEMORY ({settings.open_below_memory:g}): only the archive makes room for documents."
        )


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from `environ` (default: that of the process) and check them.

    Raises:
        SettingsError: for an unknown FLEET_ name, a value of the wrong kind, or limits in the wrong order.
    """
    source = os.environ if environ is None else environ
    given = {
        name.removeprefix(PREFIX).lower(): value for name, value in source.items() if name.startswith(PREFIX)
    }
    unknown = sorted(given.keys() - set(Settings.__struct_fields__))
    if unknown:
        names = ", ".join(PREFIX + name.upper() for name in unknown)
        raise SettingsError(f"There is no setting {names}: docs/settings.md lists all settings.")
    for name, value in given.items():
        try:
            msgspec.convert({name: value}, Settings, strict=False)
        except msgspec.ValidationError as error:
            reason = str(error).split(" - at ", maxsplit=1)[0]
            raise SettingsError(f"{PREFIX}{name.upper()}={value!r} cannot be used: {reason}.") from None
    settings = msgspec.convert(given, Settings, strict=False)
    check_order(settings)
    return settings


@lru_cache(maxsize=1)
def settings() -> Settings:
    """Return the settings of this process, read once."""
    return load()
