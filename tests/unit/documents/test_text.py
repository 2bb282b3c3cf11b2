import pytest

from app.documents import pdf
from app.documents.text import TextReader
from app.errors import ResourceLimitError
from tests.support.documents import build_pdf, one_page


def texts(data: bytes, limit: int = 10_000) -> list[tuple[str, int]]:
    reader = TextReader(limit)
    found = []
    with pdf.open_pdf(data) as document:
        for index in range(pdf.page_count(document)):
            with pdf.open_page(document, index) as page:
                read = reader.read(page)
                found.append((read.text, read.characters))
    return found


def test_lines_end_in_lf_and_count_as_pdfium_counts() -> None:
    data = build_pdf(one_page(b"BT /F1 12 Tf 72 700 Td (one) Tj 0 -20 Td (two) Tj ET"))
    assert texts(data) == [("one\ntwo", len("one\r\ntwo"))]


def test_text_longer_than_the_buffer_is_whole() -> None:
    lines = b" ".join(b"(%03d%s) Tj 0 -1 Td" % (number, b"x" * 97) for number in range(400))
    data = build_pdf(one_page(b"BT /F1 1 Tf 72 800 Td " + lines + b" ET"))
    ((text, characters),) = texts(data, limit=100_000)
    assert text.splitlines()[0].startswith("000xx")
    assert text.splitlines()[-1].startswith("399xx")
    assert characters >= 40_000


def test_the_limit_is_over_all_pages() -> None:
    objects = one_page(b"BT /F1 12 Tf 72 700 Td (twelve chars) Tj ET")
    objects[2] = b"<</Type/Pages/Kids[3 0 R 3 0 R 3 0 R]/Count 3>>"
    data = build_pdf(objects)
    assert len(texts(data, limit=36)) == 3
    with pytest.raises(ResourceLimitError, match="FLEET_MAX_TEXT_CHARACTERS"):
        texts(data, limit=35)
