"""Documents made by the tests: PDFs built object by object, so that every lie in them is deliberate, and images."""

import io
import zlib
from functools import lru_cache

from PIL import Image

Objects = dict[int, bytes]
"""The objects of a PDF by their numbers; object 1 is the catalogue."""


def build_pdf(objects: Objects) -> bytes:
    """Build a PDF from its objects."""
    out = bytearray(b"%PDF-1.7\n")
    offsets = {}
    for number, body in objects.items():
        offsets[number] = len(out)
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = len(out)
    out += b"xref\n0 1\n0000000000 65535 f \n"
    for number, offset in offsets.items():
        out += b"%d 1\n%010d 00000 n \n" % (number, offset)
    out += b"trailer\n<</Root 1 0 R/Size %d>>\nstartxref\n%d\n%%%%EOF\n" % (max(objects) + 1, table)
    return bytes(out)


def pdf_stream(content: bytes, entries: bytes = b"", *, deflate: bool = False) -> bytes:
    """Build a stream object from its content and further dictionary entries."""
    if deflate:
        content, entries = zlib.compress(content, 1), entries + b"/Filter/FlateDecode"
    return b"<</Length %d%s>>\nstream\n%s\nendstream" % (len(content), entries, content)


def one_page(content: bytes, *, box: bytes = b"0 0 595 842", resources: bytes = b"") -> Objects:
    """Return the objects of a document of one page with that content stream; Helvetica is /F1."""
    font = b"/Font<</F1<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>"
    return {
        1: b"<</Type/Catalog/Pages 2 0 R>>",
        2: b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        3: b"<</Type/Page/Parent 2 0 R/MediaBox[%s]/Contents 4 0 R/Resources<<%s%s>>>>"
        % (box, font, resources),
        4: pdf_stream(content),
    }


@lru_cache
def quick_document() -> bytes:
    """Return a PDF of one page with two words."""
    return build_pdf(one_page(b"BT /F1 24 Tf 72 700 Td (Hello fleet) Tj ET"))


@lru_cache
def slow_document(curves: int = 60_000) -> bytes:
    """Return a PDF of one page without text whose picture takes seconds to draw."""
    path = b"".join(
        b"%d %d m %d %d %d %d %d %d c S\n"
        % (i % 600, i * 7 % 800, i * 13 % 600, i * 3 % 800, i * 11 % 600, i * 17 % 800, i % 599, i % 797)
        for i in range(curves)
    )
    return build_pdf(one_page(b"", box=b"0 0 600 800") | {4: pdf_stream(path, deflate=True)})


def make_image(kind: str, size: tuple[int, int] = (200, 100), mode: str = "RGB", **options: object) -> bytes:
    """Encode a plain image in a format, with Pillow's own options."""
    output = io.BytesIO()
    Image.new(mode, size).save(output, kind, **options)
    return output.getvalue()
