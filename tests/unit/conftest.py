"""Documents, the corpus, and the sandbox that reads them."""

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.documents.limits import Limits
from app.sandbox.sandbox import Sandbox
from tests.support.documents import Objects, build_pdf, one_page, pdf_stream

CORPUS = Path(__file__).resolve().parents[2].parent / "shared" / "corpus"


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
def good_pdf() -> bytes:
    return build_pdf(one_page(b"BT /F1 24 Tf 72 700 Td (Hello fleet) Tj ET"))


@pytest.fixture(scope="session")
def scan_objects() -> Objects:
    """The objects of a page that shows only an image, inside a form XObject."""
    objects = one_page(b"/Fm Do", resources=b"/XObject<</Fm 5 0 R>>")
    objects[5] = pdf_stream(
        b"q 400 0 0 400 50 50 cm /Im Do Q",
        b"/Type/XObject/Subtype/Form/BBox[0 0 595 842]/Resources<</XObject<</Im 6 0 R>>>>",
    )
    objects[6] = pdf_stream(
        bytes(range(64)),
        b"/Type/XObject/Subtype/Image/Width 8/Height 8/ColorSpace/DeviceGray/BitsPerComponent 8",
    )
    return objects


@pytest.fixture
def sandbox(limits: Limits) -> Iterator[Sandbox]:
    with Sandbox(limits, max_documents=1_000) as box:
        yield box
