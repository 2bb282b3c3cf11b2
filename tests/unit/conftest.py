"""Fixtures that build documents object by object, so that every defect in them is deliberate."""

import csv
import io
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from app.documents.limits import Limits
from app.sandbox.sandbox import Sandbox

CORPUS = Path(__file__).resolve().parents[2].parent / "shared" / "corpus"

Objects = dict[int, bytes]
BuildPdf = Callable[[Objects], bytes]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test with the fixture `corpus_row` once for each file of the corpus."""
    if "corpus_row" not in metafunc.fixturenames:
        return
    index = CORPUS / "index.tsv"
    if not index.is_file():
        absent = pytest.mark.skip(reason=f"there is no corpus at {CORPUS}")
        metafunc.parametrize("corpus_row", [pytest.param({}, marks=absent, id="absent")])
        return
    with index.open(newline="") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t"))
    metafunc.parametrize("corpus_row", rows, ids=[row["file"] for row in rows])


@pytest.fixture(scope="session")
def corpus() -> Path:
    return CORPUS


@pytest.fixture(scope="session")
def limits() -> Limits:
    """Limits small enough for a hostile document to exceed them quickly."""
    return Limits(memory_bytes=512 * 2**20, cpu_seconds=2, wall_seconds=60.0, document_bytes=20 * 2**20)


@pytest.fixture(scope="session")
def build_pdf() -> BuildPdf:
    """A function that builds a PDF from its objects; object 1 is the catalogue."""

    def build(objects: Objects) -> bytes:
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

    return build


def stream(content: bytes, entries: bytes = b"", *, deflate: bool = False) -> bytes:
    if deflate:
        content, entries = zlib.compress(content, 1), entries + b"/Filter/FlateDecode"
    return b"<</Length %d%s>>\nstream\n%s\nendstream" % (len(content), entries, content)


@pytest.fixture(scope="session")
def pdf_stream() -> Callable[..., bytes]:
    """A function that builds a stream object from its content and dictionary entries, deflated or not."""
    return stream


def page_objects(content: bytes, *, box: bytes = b"0 0 595 842", resources: bytes = b"") -> Objects:
    font = b"/Font<</F1<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>"
    return {
        1: b"<</Type/Catalog/Pages 2 0 R>>",
        2: b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        3: b"<</Type/Page/Parent 2 0 R/MediaBox[%s]/Contents 4 0 R/Resources<<%s%s>>>>"
        % (box, font, resources),
        4: stream(content),
    }


@pytest.fixture(scope="session")
def one_page() -> Callable[..., Objects]:
    """A function that returns the objects of a one-page document with a content stream; Helvetica is /F1."""
    return page_objects


@pytest.fixture(scope="session")
def good_pdf(build_pdf: BuildPdf) -> bytes:
    return build_pdf(page_objects(b"BT /F1 24 Tf 72 700 Td (Hello fleet) Tj ET"))


@pytest.fixture(scope="session")
def scan_objects() -> Objects:
    """The objects of a page that shows only an image, inside a form XObject."""
    objects = page_objects(b"/Fm Do", resources=b"/XObject<</Fm 5 0 R>>")
    objects[5] = stream(
        b"q 400 0 0 400 50 50 cm /Im Do Q",
        b"/Type/XObject/Subtype/Form/BBox[0 0 595 842]/Resources<</XObject<</Im 6 0 R>>>>",
    )
    objects[6] = stream(
        bytes(range(64)),
        b"/Type/XObject/Subtype/Image/Width 8/Height 8/ColorSpace/DeviceGray/BitsPerComponent 8",
    )
    return objects


@pytest.fixture(scope="session")
def make_image() -> Callable[..., bytes]:
    """A function that encodes a plain image in a format, with Pillow's options."""

    def make(kind: str, size: tuple[int, int] = (200, 100), mode: str = "RGB", **options: object) -> bytes:
        output = io.BytesIO()
        Image.new(mode, size).save(output, kind, **options)
        return output.getvalue()

    return make


@pytest.fixture
def sandbox(limits: Limits) -> Iterator[Sandbox]:
    with Sandbox(limits, max_documents=1_000) as box:
        yield box
