"""The words of the producer: the kinds of document that it makes, and what each must become."""

from enum import StrEnum
from pathlib import Path

import msgspec

from app.documents.models import MediaType

GENERATOR = 1
"""Raised whenever the same seed gives other bytes than before, so that no cache mixes the two."""
PASSWORD = "open sesame"  # noqa: S105 - opens the encrypted documents of the set; it guards nothing


class Kind(StrEnum):
    """What a synthetic document is there to show."""

    TEXT = "text"
    SCAN = "scan"
    ENCRYPTED = "encrypted"
    MALFORMED = "malformed"
    IMAGE = "image"


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """A document before it has a place on the disk."""

    kind: Kind
    media_type: MediaType
    data: bytes
    pages: int
    """0 where nobody can count them: damaged, or closed by a password."""
    expected: str
    """How the fleet must settle it: `succeeded`, or the code of the error."""


class Synthetic(msgspec.Struct, frozen=True, kw_only=True):
    """One document of the set on the disk, and what the fleet must make of it."""

    path: Path
    kind: Kind
    expected: str
    """`succeeded`, or the code of the error that the fleet must give."""
    pages: int
    """0 where nobody can count them: damaged, or closed by a password."""
