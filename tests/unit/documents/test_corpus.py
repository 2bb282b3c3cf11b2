"""Every file of the shared corpus has the outcome in its index, in this process and in the sandbox."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import pypdfium2.raw as pdfium
import pytest

from app.documents import pdf
from app.documents.limits import Limits
from app.documents.models import Reading
from app.documents.reading import read
from app.errors import PermanentError
from app.sandbox.sandbox import Sandbox

LIMITS = Limits()
ENDS = {
    "ok": {"ok"},
    "password": {"password_required"},
    "format-error": {"malformed", "not_a_document"},
    "page-load-error": {"page_unreadable", "unreadable page listed"},
}


@pytest.fixture(scope="module")
def shared_sandbox() -> Iterator[Sandbox]:
    with Sandbox(LIMITS, max_documents=1_000) as box:
        yield box


@pytest.fixture(params=["in process", "sandbox"])
def reader(request: pytest.FixtureRequest) -> Callable[[bytes], Reading]:
    if request.param == "sandbox":
        box: Sandbox = request.getfixturevalue("shared_sandbox")
        return box.read
    return lambda data: read(data, limits=LIMITS)


def opens_unencrypted_without_pages(data: bytes) -> bool:
    """Return whether PDFium opens the file, and finds neither encryption nor a page.

    pypdfium2's PdfDocument, with which the index was made, raises the error of the previous document for such a file;
    so the index lists two files without any encryption as `password`.
    """
    try:
        with pdf.open_pdf(data) as document:
            return not pdf.is_encrypted(document) and pdfium.FPDF_GetPageCount(document) == 0
    except PermanentError:
        return False


def test_a_file_ends_as_the_index_says(
    corpus_row: dict[str, str], corpus: Path, reader: Callable[[bytes], Reading]
) -> None:
    data = (corpus / corpus_row["file"]).read_bytes()
    expected = "format-error" if opens_unencrypted_without_pages(data) else corpus_row["pdfium_text"]
    try:
        reading = reader(data)
    except PermanentError as error:
        code = error.code
    else:
        code = "unreadable page listed" if reading.facts.unreadable_pages else "ok"
        assert reading.facts.characters == sum(page.characters for page in reading.facts.pages)
        assert math.isclose(reading.facts.characters, int(corpus_row["pdfium_chars"]), rel_tol=0.05)
        assert (reading.thumbnail is not None) == (corpus_row["pdfium_thumb"] == "ok")
    assert code in ENDS[expected]
