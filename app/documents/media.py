"""Detection of a document's media type from its first bytes."""

from app.documents.models import MediaType

PDF_HEADER_WITHIN_BYTES = 1_024
"""PDF readers accept junk before `%PDF-` within this limit (Adobe's implementation notes to PDF 1.7, H.3.4.1)."""


def sniff(data: bytes) -> MediaType | None:
    """Return the media type that the first bytes of `data` show, or None if it is not supported.

    An image's signature at the start takes precedence over a PDF header further on.
    """
    if data.startswith(b"\xff\xd8\xff"):
        return MediaType.JPEG
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return MediaType.PNG
    # The first two bytes give the byte order; the number after them is 42 in TIFF and 43 in BigTIFF.
    if data.startswith((b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")):
        return MediaType.TIFF
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return MediaType.WEBP
    if b"%PDF-" in data[:PDF_HEADER_WITHIN_BYTES]:
        return MediaType.PDF
    return None
