"""The set of synthetic documents on the disk: made once, in parallel, and checked and repaired on later use."""

import fcntl
import hashlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import msgspec

from app.documents.models import MediaType
from app.errors import FleetError
from app.producer.models import GENERATOR, Synthetic, Traits
from app.producer.parallel import pool
from app.runtime import atomic

INDEX = "index.jsonl"
_CHUNK = 10
"""Documents per call of a pool's process: 0.4 s of work, so progress and Ctrl-C stay smooth."""
_WORTH_A_POOL = 30
"""Fewest missing documents that start a pool; the command makes fewer sooner than a process starts."""
_SUFFIXES = {MediaType.PDF: "pdf", MediaType.JPEG: "jpg", MediaType.PNG: "png"}


class _Entry(Traits, frozen=True, kw_only=True):
    """A line of the index: a document, with the size and hash of its file."""

    number: int
    name: str
    bytes: int
    sha256: str


class _Head(msgspec.Struct, frozen=True, kw_only=True):
    """The first line of the index."""

    generator: int
    seed: int


def default_directory(seed: int) -> Path:
    """Return the directory of a seed's set, in the user's cache directory."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    if given:
        cache = Path(given)
    elif sys.platform == "darwin":
        cache = Path.home() / "Library" / "Caches"
    else:
        cache = Path.home() / ".cache"
    return cache / "pdf-fleet" / f"{GENERATOR}-{seed}"


def make_set(
    directory: Path, *, documents: int, seed: int, on_progress: Callable[[int], None] | None = None
) -> list[Synthetic]:
    """Make the documents of a set that are missing or damaged, and return all in order.

    Two runs may use the same directory at the same time: both write the same bytes, and each file atomically.

    Args:
        directory: Directory of this set alone; created if it is missing.
        documents: Number of documents; a smaller set is the beginning of a larger one.
        seed: Seed of the set.
        on_progress: Called with the number of documents that are ready, as it grows.

    Raises:
        FleetError: the directory cannot be written, the disk is full, or a process that makes documents died.
    """
    report = on_progress or (lambda _ready: None)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        entries = {
            number: entry for number, entry in _known(directory, seed).items() if _intact(directory, entry)
        }
        missing = [number for number in range(documents) if number not in entries]
        ready = documents - len(missing)
        report(ready)
        for made in _make(directory, seed, missing):
            entries.update((entry.number, entry) for entry in made)
            ready += len(made)
            report(ready)
        if missing:
            _write_index(directory, seed, entries)
    except OSError as error:
        reason = error.strerror or str(error)
        raise FleetError(
            f"The synthetic documents cannot be stored in {directory}: {reason}. "
            "Make room there, or set XDG_CACHE_HOME to a writable folder."
        ) from error
    except BrokenProcessPool as error:
        raise FleetError(
            "A process that makes the synthetic documents was killed: start the command again."
        ) from error
    return [
        Synthetic(path=directory / entry.name, kind=entry.kind, expected=entry.expected, pages=entry.pages)
        for entry in (entries[number] for number in range(documents))
    ]


def _make(directory: Path, seed: int, missing: Sequence[int]) -> Iterator[list[_Entry]]:
    chunks = [missing[start : start + _CHUNK] for start in range(0, len(missing), _CHUNK)]
    processes = min(len(chunks), os.cpu_count() or 1)
    if len(missing) < _WORTH_A_POOL or processes == 1:
        for chunk in chunks:
            yield _make_chunk(directory, seed, chunk)
        return
    with pool(processes) as executor:
        for future in as_completed(
            [executor.submit(_make_chunk, directory, seed, chunk) for chunk in chunks]
        ):
            yield future.result()


def _make_chunk(directory: Path, seed: int, numbers: Sequence[int]) -> list[_Entry]:
    return [_make_one(directory, seed, number) for number in numbers]


def _make_one(directory: Path, seed: int, number: int) -> _Entry:
    # Importing reportlab takes 0.3 s, and a complete set does not need it.
    from app.producer.synthesis import synthesise  # noqa: PLC0415

    content = synthesise(seed, number)
    name = f"{number:05}-{content.kind}.{_SUFFIXES[content.media_type]}"
    atomic.write(directory / name, content.data)
    return _Entry(
        number=number,
        name=name,
        kind=content.kind,
        expected=content.expected,
        pages=content.pages,
        bytes=len(content.data),
        sha256=hashlib.sha256(content.data).hexdigest(),
    )


def _known(directory: Path, seed: int) -> dict[int, _Entry]:
    """Return the entries of the index; none if it is missing, damaged, or of another seed or generator."""
    try:
        head, *lines = (directory / INDEX).read_bytes().splitlines()
        if msgspec.json.decode(head, type=_Head) != _Head(generator=GENERATOR, seed=seed):
            return {}
        entries = [msgspec.json.decode(line, type=_Entry) for line in lines]
    except (FileNotFoundError, ValueError):
        return {}
    return {entry.number: entry for entry in entries}


def _intact(directory: Path, entry: _Entry) -> bool:
    try:
        data = (directory / entry.name).read_bytes()
    except FileNotFoundError:
        return False
    return len(data) == entry.bytes and hashlib.sha256(data).hexdigest() == entry.sha256


def _write_index(directory: Path, seed: int, entries: dict[int, _Entry]) -> None:
    """Write the index, and keep the entries that another run has added to it meanwhile."""
    with (directory / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        merged = _known(directory, seed) | entries
        lines = [_Head(generator=GENERATOR, seed=seed), *(merged[number] for number in sorted(merged))]
        atomic.write(directory / INDEX, msgspec.json.Encoder().encode_lines(lines))
