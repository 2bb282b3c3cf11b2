"""Hostile documents: each ends in a typed error, or does no harm, within its limits, and the next one is read."""

import struct
import time
import zlib
from collections.abc import Iterator

import pytest

from app.documents.limits import Limits
from app.errors import PermanentError
from app.sandbox.sandbox import Sandbox
from tests.support.documents import build_pdf, one_page, pdf_stream

LIMITS = Limits(memory_bytes=512 * 2**20, cpu_seconds=1, wall_seconds=5.0)
SPARE_SECONDS = 5.0
"""Time for a second attempt after a crash, in a fresh child."""


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    with Sandbox(LIMITS, max_documents=1_000) as sandbox:
        yield sandbox


class Maker:
    """Maker of hostile documents: each method returns one."""

    def __init__(self) -> None:
        self.build, self.page, self.stream = build_pdf, one_page, pdf_stream

    def content_bomb(self) -> bytes:
        """Return half a gigabyte of objects, deflated to 300 KB."""
        return self.build(self.page(b"") | {4: self.stream(b"0 0 9 9 re f " * 12_000_000, deflate=True)})

    def deflated_twice(self) -> bytes:
        inner = zlib.compress(b" " * 300_000_000, 1)
        body = self.stream(zlib.compress(inner, 9), b"/Filter[/FlateDecode/FlateDecode]")
        return self.build(self.page(b"") | {4: body})

    def pages_that_are_their_own_kids(self) -> bytes:
        objects = self.page(b"") | {2: b"<</Type/Pages/Kids[2 0 R 2 0 R 2 0 R]/Count 1000>>"}
        return self.build(objects)

    def deep_page_tree(self) -> bytes:
        objects = {1: b"<</Type/Catalog/Pages 2 0 R>>"}
        objects |= {
            n: b"<</Type/Pages/Parent %d 0 R/Kids[%d 0 R]/Count 1>>" % (n - 1, n + 1)
            for n in range(2, 50_000)
        }
        return self.build(objects | {50_000: b"<</Type/Page/MediaBox[0 0 9 9]>>"})

    def count_that_lies(self) -> bytes:
        return self.build(self.page(b"") | {2: b"<</Type/Pages/Kids[3 0 R]/Count 2147483647>>"})

    def count_below_zero(self) -> bytes:
        return self.build(self.page(b"") | {2: b"<</Type/Pages/Kids[3 0 R]/Count -5>>"})

    def form_within_itself(self) -> bytes:
        form = b"/Type/XObject/Subtype/Form/BBox[0 0 595 842]/Resources<</XObject<</Fm 5 0 R>>>>"
        objects = self.page(b"/Fm Do", resources=b"/XObject<</Fm 5 0 R>>")
        return self.build(objects | {5: self.stream(b"/Fm Do /Fm Do", form)})

    def forms_that_multiply(self) -> bytes:
        objects = self.page(b"/Fm Do", resources=b"/XObject<</Fm 5 0 R>>")
        for number in range(5, 17):
            form = b"/Type/XObject/Subtype/Form/BBox[0 0 595 842]/Resources<</XObject<</Fm %d 0 R>>>>" % (
                number + 1
            )
            objects[number] = self.stream(b"/Fm Do " * 10, form)
        objects[17] = self.stream(b"0 0 9 9 re f", b"/Type/XObject/Subtype/Form/BBox[0 0 9 9]")
        return self.build(objects)

    def pattern_within_itself(self) -> bytes:
        cell = b"/PatternType 1/PaintType 1/TilingType 1/BBox[0 0 9 9]/XStep .01/YStep .01"
        pattern = cell + b"/Resources<</Pattern<</P 5 0 R>>>>"
        content = b"/Pattern cs /P scn 0 0 595 842 re f"
        objects = self.page(content, resources=b"/Pattern<</P 5 0 R>>")
        return self.build(objects | {5: self.stream(content, pattern)})

    def giant_image(self) -> bytes:
        entries = (
            b"/Type/XObject/Subtype/Image/Width 60000/Height 60000/ColorSpace/DeviceRGB/BitsPerComponent 8"
        )
        objects = self.page(b"595 0 0 842 0 0 cm /Im Do", resources=b"/XObject<</Im 5 0 R>>")
        return self.build(objects | {5: self.stream(b"\0" * 100_000_000, entries, deflate=True)})

    def image_of_impossible_size(self) -> bytes:
        entries = (
            b"/Subtype/Image/Width 2147483647/Height 2147483647/ColorSpace/DeviceGray/BitsPerComponent 16"
        )
        objects = self.page(b"595 0 0 842 0 0 cm /Im Do", resources=b"/XObject<</Im 5 0 R>>")
        return self.build(objects | {5: self.stream(b"\0", entries)})

    def endless_shading(self) -> bytes:
        shading = (
            b"/Shading<</Sh<</ShadingType 3/ColorSpace/DeviceGray/Coords[1 1 0 9 9 900]/Extend[true true]"
            b"/Function<</FunctionType 2/Domain[0 1]/N 3>>>>>>"
        )
        return self.build(self.page(b"/Sh sh " * 200_000, resources=shading))

    def nested_arrays(self) -> bytes:
        return self.build(
            self.page(b"") | {5: b"[" * 500_000, 2: b"<</Type/Pages/Kids[3 0 R]/Count 1/X 5 0 R>>"}
        )

    def object_stream_that_extends_itself(self) -> bytes:
        first = b"1 0 2 40 <</Type/Catalog/Pages 2 0 R>>        <</Type/Pages/Kids[]/Count 3>>"
        body = self.stream(first, b"/Type/ObjStm/N 2/First 9/Extends 1 0 R")
        table = struct.pack(">" + "BHB" * 4, 0, 0, 0, 2, 3, 0, 2, 3, 1, 2, 3, 0)
        head = b"%PDF-1.7\n"
        objects = head + b"3 0 obj\n" + body + b"\nendobj\n"
        xref = self.stream(table, b"/Type/XRef/Size 4/W[1 2 1]/Root 1 0 R")
        return objects + b"4 0 obj\n" + xref + b"\nendobj\nstartxref\n%d\n%%%%EOF" % len(objects)

    def tables_that_point_at_each_other(self) -> bytes:
        data = self.build(self.page(b""))
        start = data.index(b"xref\n")
        return data.replace(b"/Root", b"/Prev %d/XRefStm %d/Root" % (start, start))

    def page_box_beyond_measure(self) -> bytes:
        return self.build(self.page(b"", box=b"0 0 595 2147483648"))

    def a_million_letters_on_one_spot(self) -> bytes:
        return self.build(self.page(b"BT /F1 9 Tf 9 9 Td " + b"(a) Tj " * 1_000_000 + b"ET"))

    def pixel_bomb(self) -> bytes:
        def chunk(kind: bytes, content: bytes) -> bytes:
            return (
                struct.pack(">I", len(content))
                + kind
                + content
                + struct.pack(">I", zlib.crc32(kind + content))
            )

        header = chunk(b"IHDR", struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0))
        return (
            b"\x89PNG\r\n\x1a\n"
            + header
            + chunk(b"IDAT", zlib.compress(b"\0" * 10_000_000))
            + chunk(b"IEND", b"")
        )

    def pixel_bomb_below_the_limit(self) -> bytes:
        data = self.pixel_bomb()
        header = struct.pack(">IIBBBBB", 9_900, 9_900, 16, 6, 0, 0, 0)
        return data[:16] + header + struct.pack(">I", zlib.crc32(b"IHDR" + header)) + data[33:]

    def tiff_whose_directories_loop(self) -> bytes:
        entries = [
            (256, 3, 1, 9),
            (257, 3, 1, 9),
            (258, 3, 1, 8),
            (259, 3, 1, 1),
            (262, 3, 1, 1),
            (273, 4, 1, 8),
            (279, 4, 1, 81),
        ]
        directory = struct.pack("<H", len(entries)) + b"".join(
            struct.pack("<HHII", *entry) for entry in entries
        )
        return b"II*\0" + struct.pack("<I", 8) + directory + struct.pack("<I", 8) + b"\0" * 100


NAMES = sorted(name for name in vars(Maker) if not name.startswith("_"))


@pytest.fixture
def maker() -> Maker:
    return Maker()


@pytest.mark.parametrize("name", NAMES)
def test_a_hostile_document_ends_within_its_limits(
    name: str, box: Sandbox, maker: Maker, good_pdf: bytes
) -> None:
    data = getattr(maker, name)()
    box.read(good_pdf)
    began = time.monotonic()
    try:
        ended = "harmless" if box.read(data).facts.page_count <= LIMITS.pages else "too many pages read"
    except PermanentError as error:
        ended = error.code
    seconds = time.monotonic() - began
    assert ended in {"harmless", "malformed", "page_unreadable", "resource_limit", "too_many_pages"}
    assert seconds < LIMITS.wall_seconds + SPARE_SECONDS
    assert box.read(good_pdf).texts == ["Hello fleet"]
    assert box.peak_child_rss < LIMITS.memory_bytes
