"""The limits of one document, and the one that is kept before anything is read."""

import msgspec

from app.errors import EmptyError, TooLargeError


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one document may cost; whatever goes beyond ends in a typed error."""

    document_bytes: int = 100 * 1024 * 1024
    pages: int = 2_000
    text_characters: int = 20_000_000
    page_points: int = 14_400 * 4
    """Longest side of a page box that is rendered, in points (PDF's own limit is 14,400 by the UserUnit)."""
    thumbnail_pixels: int = 320
    image_pixels: int = 100_000_000
    """Width x height of an image document that is decoded."""
    ocr_dpi: int = 200
    ocr_pixels: int = 40_000_000
    """Width x height of the bitmap that one page is recognised from; larger pages are rendered coarser."""
    memory_bytes: int = 1024 * 1024 * 1024
    cpu_seconds: int = 30
    wall_seconds: float = 60.0
    output_bytes: int = 64 * 1024 * 1024


def check_bytes(data: bytes, *, limits: Limits) -> None:
    """Refuse a document for its mere size.

    Raises:
        EmptyError: of no bytes.
        TooLargeError: of more than `limits.document_bytes`.
    """
    if not data:
        raise EmptyError
    if len(data) > limits.document_bytes:
        raise TooLargeError(
            f"The document has {len(data)} bytes, and {limits.document_bytes} are allowed: split it, "
            "or raise FLEET_MAX_DOCUMENT_BYTES."
        )
