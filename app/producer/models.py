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


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """A synthetic document in memory."""

    kind: Kind
    media_type: MediaType
    data: bytes
    pages: int
    """0 if they cannot be counted, because the document is damaged or encrypted."""
    expected: str
    """Expected outcome: `succeeded`, or the code of the error."""


class Synthetic(msgspec.Struct, frozen=True, kw_only=True):
    """A synthetic document on the disk, and its expected outcome."""

    path: Path
    kind: Kind
    expected: str
    """Expected outcome: `succeeded`, or the code of the error."""
    pages: int
    """0 if they cannot be counted, because the document is damaged or encrypted."""
