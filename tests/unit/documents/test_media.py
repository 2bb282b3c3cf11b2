import pytest

from app.documents.media import PDF_HEADER_WITHIN_BYTES, sniff
from app.documents.models import MediaType
from tests.support.documents import make_image


@pytest.mark.parametrize(
    ("leading", "media_type"),
    [
        (b"%PDF-1.4\n", MediaType.PDF),
        (b"\0junk\n%PDF-2.0", MediaType.PDF),
        (b"\xff\xd8\xff\xe0", MediaType.JPEG),
        (b"\x89PNG\r\n\x1a\n", MediaType.PNG),
        (b"II*\0", MediaType.TIFF),
        (b"MM\0*", MediaType.TIFF),
        (b"MM\0+", MediaType.TIFF),
        (b"RIFF\x10\0\0\0WEBPVP8 ", MediaType.WEBP),
        (b"RIFF\x10\0\0\0WAVEfmt ", None),
        (b"<!DOCTYPE html>", None),
        (b"", None),
    ],
)
def test_the_leading_bytes_name_the_kind(leading: bytes, media_type: MediaType | None) -> None:
    assert sniff(leading) is media_type


def test_a_header_counts_only_near_the_start() -> None:
    header = b"%PDF-1.4"
    assert sniff(b"x" * (PDF_HEADER_WITHIN_BYTES - len(header)) + header) is MediaType.PDF
    assert sniff(b"x" * PDF_HEADER_WITHIN_BYTES + header) is None


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_what_pillow_writes_is_recognised(kind: str) -> None:
    assert sniff(make_image(kind)) is MediaType[kind]
