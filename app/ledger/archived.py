"""Archived batches in the object store: the names and the content of their objects.

A batch has a generation for each time that it was opened anew after it had left the ledger, named by the time of that
opening in microseconds:

    archive/<batch>/<opened>/<position>-<places>-<archiver>.jsonl     a part of its settled documents
    archive/<batch>/<opened>/batch.json                               its counts, when all of it has left the ledger

A part holds one line of JSON for each place in the list of settled documents, from `position` on; the line of a place
whose document was opened again since is `null`. A part counts up to the position of the next one, or to the place up to
which the ledger has let go: an archiver that died may have stored more. No two archivers write the same object, so none
overwrites what another one's step relied on.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Protocol

import msgspec

from app.ledger.models import NO_OPTIONS, NO_SUMMARY, BatchCounts, Document

ROOT = "archive"
_OBJECT = re.compile(
    r"archive/(?P<batch>[^/]+)/(?P<opened>[0-9]+)/"
    r"(?:(?P<left>batch\.json)|(?P<position>[0-9]{12})-(?P<places>[0-9]+)-[0-9a-f]{8}\.jsonl)"
)
"""The archive's own objects; a batch that is called `archive` has its documents below the same folder."""


class Store(Protocol):
    """What the archive needs of an object store; a missing key is a FileNotFoundError, a failure a StorageError."""

    def put(self, key: str, data: bytes) -> None:
        """Store an object."""

    def get(self, key: str) -> bytes:
        """Return an object."""

    def delete(self, key: str) -> None:
        """Remove an object, if it is there."""

    def keys(self, prefix: str = "") -> list[str]:
        """Return the keys below a folder."""


class Part(msgspec.Struct, frozen=True, order=True):
    """A part of a generation; its object has a line for each of its places."""

    position: int
    places: int
    key: str


class Generation(msgspec.Struct, kw_only=True):
    """One generation of an archived batch."""

    batch_id: str
    opened: int
    parts: list[Part] = []
    """By position, each position once."""
    left: bool = False
    """Whether its counts are there: it has left the ledger, or is about to."""


class Left(msgspec.Struct, frozen=True, kw_only=True):
    """A generation that has left the ledger."""

    counts: BatchCounts
    places: int
    """Of its list of settled documents."""


class Found(msgspec.Struct, frozen=True):
    """What the key of an object of the archive says."""

    batch_id: str
    opened: int
    part: Part | None
    """None for the counts."""


def parse(key: str) -> Found | None:
    """Return what a key says; None if it is not one of the archive's objects."""
    named = _OBJECT.fullmatch(key)
    if named is None:
        return None
    part = None if named["left"] else Part(int(named["position"]), int(named["places"]), key)
    return Found(named["batch"], int(named["opened"]), part)


def folder(batch_id: str, opened: int) -> str:
    """Return the folder of a generation."""
    return f"{ROOT}/{batch_id}/{opened}"


def part_key(batch_id: str, opened: int, position: int, places: int, archiver: str) -> str:
    """Return the key of a part."""
    return f"{folder(batch_id, opened)}/{position:012}-{places}-{archiver[:8]}.jsonl"


def counts_key(batch_id: str, opened: int) -> str:
    """Return the key of a generation's counts."""
    return f"{folder(batch_id, opened)}/batch.json"


def encode_line(document: Document | None) -> bytes:
    """Return the line of a document, without its options, which may hold a password; None: an empty place."""
    if document is None:
        return b"null\n"
    summary = document.summary if bytes(document.summary) != bytes(NO_SUMMARY) else NO_SUMMARY
    bare = msgspec.structs.replace(document, options=NO_OPTIONS, summary=summary)
    return msgspec.json.encode(bare) + b"\n"


_decoder: msgspec.json.Decoder[Document | None] = msgspec.json.Decoder(Document | None)


def generations(store: Store, batch_id: str) -> list[Generation]:
    """Return the generations of a batch in the archive, oldest first."""
    found = (parse(key) for key in store.keys(f"{ROOT}/{batch_id}"))
    return collect(one for one in found if one is not None)


def collect(found: Iterable[Found]) -> list[Generation]:
    """Return the generations that some objects belong to, oldest first."""
    collected: dict[tuple[str, int], Generation] = {}
    parts: dict[tuple[str, int], dict[int, Part]] = {}
    for one in found:
        name = one.batch_id, one.opened
        generation = collected.setdefault(name, Generation(batch_id=one.batch_id, opened=one.opened))
        if one.part is None:
            generation.left = True
        else:
            known = parts.setdefault(name, {})
            known[one.part.position] = max(one.part, known.get(one.part.position, one.part))
    for name, known in parts.items():
        collected[name].parts = sorted(known.values())
    return sorted(collected.values(), key=lambda generation: generation.opened)


def read_left(store: Store, generation: Generation) -> Left | None:
    """Return the counts of a generation; None if they are not there."""
    if not generation.left:
        return None
    try:
        data = store.get(counts_key(generation.batch_id, generation.opened))
    except FileNotFoundError:
        return None  # it has expired meanwhile
    return msgspec.json.decode(data, type=Left)


def read_documents(
    store: Store, generation: Generation, *, places: int | None = None, start: int = 0
) -> Iterator[Document]:
    """Yield the documents of a generation in the order of settling, from place `start` on, below `places` (None: all).

    A document that was settled again after a retry may appear once more; its last line counts.
    """
    parts = generation.parts
    ends = [following.position for _, following in pairwise(parts)]
    for part, end in zip(parts, [*ends, None], strict=True):
        bounds = [bound for bound in (end, places, part.position + part.places) if bound is not None]
        if min(bounds) <= max(start, part.position):
            continue
        try:
            lines = _decoder.decode_lines(store.get(part.key))
        except FileNotFoundError:
            continue  # it has expired meanwhile
        for document in lines[max(0, start - part.position) : min(bounds) - part.position]:
            if document is not None:
                yield document
