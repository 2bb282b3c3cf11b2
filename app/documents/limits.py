"""Limits on one document, and the check of its size before it is read."""

import msgspec

from app.errors import EmptyError, TooLargeError


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Most that one document may cost; a document that needs more ends in a typed error."""

    document_bytes: int = 100 * 1024 * 1024
    pages: int = 2_000
    text_characters: int = 20_000_000
    page_points: int = 14_400 * 4
    """Longest side in points of a page box that is rendered (PDF's own limit is 14,400 by the UserUnit)."""
    thumbnail_pixels: int = 320
    image_pixels: int = 100_000_000
    """Most pixels (width x height) of an image document that is decoded."""
    ocr_dpi: int = 200
    ocr_pixels: int = 40_000_000
    """Most pixels (width x height) of the bitmap for OCR of one page; larger pages are rendered coarser."""
    memory_bytes: int = 1024 * 1024 * 1024
    cpu_seconds: int = 30
    wall_seconds: float = 60.0
    output_bytes: int = 64 * 1024 * 1024


def check_bytes(data: bytes, *, limits: Limits) -> None:
    """Refuse a document that is empty or too large.

    Raises:
        EmptyError: `data` has no bytes.
        TooLargeError: `data` has more than `limits.document_bytes`.
    """
    if not data:
        raise EmptyError
    if len(data) > limits.document_bytes:
        raise TooLargeError(
            f"The document has {len(data)} bytes; the limit is {limits.document_bytes}: split it, "
            "or raise FLEET_MAX_DOCUMENT_BYTES."
        )
