"""The entries of documents and batches, between Redis hashes and the ledger's models."""

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from itertools import accumulate
from struct import unpack
from typing import Any

import msgspec

from app.documents.models import ResultKind
from app.ledger.models import BatchCounts, Document, Options, ServiceTimes, State

MICRO = 1_000_000
RESULTS = {"t": ResultKind.TEXT, "i": ResultKind.THUMBNAIL, "d": ResultKind.DOCUMENT}
"""Kinds of results by their letter in a document's field `r`."""
_STATES = {"queued": State.QUEUED, **{state.value[0]: state for state in State if state is not State.QUEUED}}
"""States by their letter in the field `s`, which a queued document does not have."""
_LETTERS = {kind: letter for letter, kind in RESULTS.items()}
WAIT_BOUNDS = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1_800.0)
"""Upper bounds of the histogram of waits, in seconds; the last bucket has none."""
WORK_BOUNDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
"""Upper bounds of the histogram of work, in seconds; the last bucket has none."""
SUMS = 2
"""Places of the string of service times before its histogram: the sums of wait and work (us)."""
PLACES = SUMS + (len(WAIT_BOUNDS) + 1) * (len(WORK_BOUNDS) + 1)
"""Places in all, each a number of 64 bits; the cells of the histogram by wait, and for each wait by work."""


def micros(seconds: float) -> int:
    """Return a time in seconds as whole microseconds."""
    return round(seconds * MICRO)


def cell(wait: float, work: float) -> str:
    """Return the place of the histogram's cell for a pass that waited and worked so many seconds, as `#42`."""
    return f"#{SUMS + _bucket(wait, WAIT_BOUNDS) * (len(WORK_BOUNDS) + 1) + _bucket(work, WORK_BOUNDS)}"


def _bucket(value: float, bounds: tuple[float, ...]) -> int:
    return sum(value > bound for bound in bounds)


def decode_places(stored: bytes | None) -> tuple[int, ...]:
    """Return the numbers in a queue's string of service times, which ends with the last that is not 0."""
    return unpack(f">{PLACES}q", (stored or b"").ljust(8 * PLACES, b"\0"))


def decode_times(places: Sequence[int]) -> ServiceTimes:
    """Return the service times that the `PLACES` of a queue hold."""
    wait, work, *cells = places
    passes = sum(cells)
    if not passes:
        return ServiceTimes()
    width = len(WORK_BOUNDS) + 1
    waits = [sum(cells[start : start + width]) for start in range(0, len(cells), width)]
    works = [sum(cells[column::width]) for column in range(width)]
    return ServiceTimes(
        passes=passes,
        mean_wait_seconds=wait / MICRO / passes,
        wait_p50_seconds=_percentile(50, waits, WAIT_BOUNDS),
        wait_p95_seconds=_percentile(95, waits, WAIT_BOUNDS),
        mean_work_seconds=work / MICRO / passes,
        work_p50_seconds=_percentile(50, works, WORK_BOUNDS),
        work_p95_seconds=_percentile(95, works, WORK_BOUNDS),
    )


def _percentile(percent: int, counts: Sequence[int], bounds: tuple[float, ...]) -> float | None:
    """Return the upper bound of the bucket that the percentile is in; None for the last bucket, which has none."""
    wanted = sum(counts) * percent / 100
    bucket = next(place for place, seen in enumerate(accumulate(counts)) if seen >= wanted)
    return bounds[bucket] if bucket < len(bounds) else None


def encode_token(token: str) -> str:
    """Return the text of the field `z`: a short digest of who settles."""
    return blake2b(token.encode(), digest_size=2).hexdigest()


def encode_options(options: Options) -> str:
    """Return the text of the field `p`; empty for the defaults."""
    return "" if options == Options() else msgspec.json.encode(options).decode()


def encode_results(results: tuple[ResultKind, ...]) -> str:
    """Return the text of the field `r`; empty for all kinds, which is usual."""
    return "" if results == tuple(ResultKind) else "".join(_LETTERS[kind] for kind in results) or "-"


def _results(state: State, fields: Mapping[str, str]) -> tuple[ResultKind, ...]:
    stored = fields.get("r")
    if stored:
        return tuple(RESULTS[letter] for letter in stored.strip("-"))
    return tuple(ResultKind) if state is State.SUCCEEDED or fields.get("v") else ()


def decode_document(document_id: str, fields: Mapping[str, str]) -> Document:
    """Return the document whose hash holds `fields`; empty texts count as missing."""
    get = fields.get
    state = _STATES[get("s") or "queued"]
    code, message = get("e") or None, get("m") or None
    started = _seconds(get("t"))
    return Document(
        document_id=document_id,
        batch=fields["b"],
        source=get("n") or "",
        state=state,
        queue=fields["q"],
        opened=int(fields["o"]) / MICRO,
        attempts=int(get("a") or 0),
        attempts_before=int(get("A") or 0),
        retries=int(get("c") or 0),
        options=msgspec.json.decode(options, type=Options) if (options := get("p")) else Options(),
        started=started,
        attempt_started=_seconds(get("x")) or started,
        advanced=_seconds(get("v")),
        finished=_seconds(get("f")),
        error=code if state.final else None,
        message=message if state.final else None,
        last_error=None if state.final else code,
        last_message=None if state.final else message,
        summary=msgspec.Raw(summary.encode()) if (summary := get("y")) else msgspec.Raw(b"{}"),
        results=_results(state, fields),
    )


def _seconds(text: str | None) -> float | None:
    return int(text) / MICRO if text else None


def decode_batch(batch_id: str, fields: Mapping[str, str]) -> BatchCounts:
    """Return the counts that a batch's hash holds."""
    errors = {
        name.removeprefix("error:"): int(count)
        for name, count in fields.items()
        if name.startswith("error:") and int(count)
    }
    counts: dict[str, Any] = {
        name: int(fields.get(name, 0))
        for name in ("total", "succeeded", "failed", "quarantined", "duplicates")
    }
    opened, finished = _seconds(fields.get("opened")), _seconds(fields.get("finished"))
    return BatchCounts(batch_id=batch_id, errors=errors, opened=opened, finished=finished, **counts)
