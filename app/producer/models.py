"""Types for synthetic documents: their kinds, contents and expected outcomes."""

from enum import StrEnum
from pathlib import Path

import msgspec

from app.documents.models import MediaType

GENERATOR = 1
"""Version of the generator, part of the cache's name: increase it when the same seed gives other bytes."""
PASSWORD = "open sesame"  # noqa: S105 - opens the encrypted synthetic documents; it guards nothing


class Kind(StrEnum):
    """Kinds of synthetic documents."""

    TEXT = "text"
    SCAN = "scan"
    ENCRYPTED = "encrypted"
    MALFORMED = "malformed"
    IMAGE = "image"


class Traits(msgspec.Struct, frozen=True, kw_only=True):
    """Kind, pages and expected outcome of a synthetic document."""

    kind: Kind
    expected: str
    """Expected outcome: `succeeded`, or the code of the error."""
    pages: int
    """0 if they cannot be counted, because the document is damaged or encrypted."""


class Content(Traits, frozen=True, kw_only=True):
    """A synthetic document in memory."""

    media_type: MediaType
    data: bytes


class Synthetic(Traits, frozen=True, kw_only=True):
    """A synthetic document on the disk."""

    path: Path
