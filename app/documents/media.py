"""What kind of document some bytes are, by their first ones."""

from app.documents.models import MediaType

PDF_HEADER_WITHIN_BYTES = 1_024
"""PDF readers accept junk before `%PDF-` up to here (Adobe's implementation notes to PDF 1.7, H.3.4.1)."""


def sniff(data: bytes) -> MediaType | None:
    """Return the media type that the leading bytes of `data` name, or None where they name none known here.

    An image's signature at the very start wins over a PDF header further on.
    """
    if data.startswith(b"\xff\xd8\xff"):
        return MediaType.JPEG
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return MediaType.PNG
    # 42 is classic TIFF, 43 BigTIFF; the first two bytes give the byte order.
    if data.startswith((b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")):
        return MediaType.TIFF
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return MediaType.WEBP
    if b"%PDF-" in data[:PDF_HEADER_WITHIN_BYTES]:
        return MediaType.PDF
    return None
