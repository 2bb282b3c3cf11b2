import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from app.documents.limits import Limits
from app.documents.models import OcrMode
from app.documents.reading import read
from app.errors import (
    EmptyError,
    MalformedError,
    NotADocumentError,
    PageUnreadableError,
    PasswordRequiredError,
    PermanentError,
    TooLargeError,
    TooManyPagesError,
)
from tests.support.documents import Objects, build_pdf, one_page

LIMITS = Limits()


def test_a_plain_document(good_pdf: bytes) -> None:
    reading = read(good_pdf, limits=LIMITS)
    facts = reading.facts
    assert reading.texts == ["Hello fleet"]
    assert (facts.characters, facts.page_count, facts.unreadable_pages, facts.bytes) == (
        11,
        1,
        [],
        len(good_pdf),
    )
    assert (facts.pages[0].width, facts.pages[0].height) == (595.0, 842.0)
    assert reading.thumbnail is not None
    image = Image.open(io.BytesIO(reading.thumbnail))
    assert (image.format, max(image.size)) == ("JPEG", 320)
    assert min(image.convert("L").tobytes()) < 128  # the words are there, dark on white


def test_scans_need_ocr_by_mode(scan_objects: Objects, good_pdf: bytes) -> None:
    scan = build_pdf(scan_objects)
    wanted = {mode: read(scan, limits=LIMITS, ocr=mode).facts.pages_needing_ocr for mode in OcrMode}
    assert wanted == {OcrMode.AUTO: [1], OcrMode.NEVER: [], OcrMode.ALWAYS: [1]}
    assert read(good_pdf, limits=LIMITS).facts.pages_needing_ocr == []
    assert read(good_pdf, limits=LIMITS, ocr=OcrMode.ALWAYS).facts.pages_needing_ocr == [1]


def test_a_page_that_cannot_be_read_is_listed() -> None:
    objects = one_page(b"BT /F1 12 Tf 72 700 Td (second) Tj ET")
    objects[2] = b"<</Type/Pages/Kids[9 0 R 3 0 R]/Count 2>>"
    reading = read(build_pdf(objects), limits=LIMITS)
    assert reading.facts.unreadable_pages == [1]
    assert reading.texts == ["", "second"]
    assert reading.thumbnail is None
    assert reading.facts.thumbnail_error == reading.facts.pages[0].error
    objects[2] = b"<</Type/Pages/Kids[9 0 R 8 0 R]/Count 2>>"
    with pytest.raises(PageUnreadableError):
        read(build_pdf(objects), limits=LIMITS)


@pytest.mark.parametrize("box", [b"0 0 595 2147483648", b"0 0 100000000 100000000", b"0 0 100000 3"])
def test_a_page_too_large_to_draw_still_has_its_text(box: bytes) -> None:
    reading = read(build_pdf(one_page(b"BT /F1 1 Tf 1 1 Td (here) Tj ET", box=box)), limits=LIMITS)
    assert reading.thumbnail is None
    assert "page box" in (reading.facts.thumbnail_error or "")
    assert reading.facts.unreadable_pages == []


@pytest.mark.parametrize("box", [b"0 0 0 0", b"nan nan nan nan", b"-5 -5 -5 -5", b"inf 0 0 inf", b"9 9 1 1"])
def test_senseless_boxes_do_no_harm(box: bytes) -> None:
    assert read(build_pdf(one_page(b"", box=box)), limits=LIMITS).facts.page_count == 1


def test_limits_on_bytes_and_pages(good_pdf: bytes) -> None:
    with pytest.raises(EmptyError):
        read(b"", limits=LIMITS)
    assert read(good_pdf, limits=Limits(document_bytes=len(good_pdf))).facts.page_count == 1
    with pytest.raises(TooLargeError, match="FLEET_MAX_DOCUMENT_BYTES"):
        read(good_pdf, limits=Limits(document_bytes=len(good_pdf) - 1))
    objects = one_page(b"")
    objects[2] = b"<</Type/Pages/Kids[3 0 R 3 0 R]/Count 2>>"
    assert read(build_pdf(objects), limits=Limits(pages=2)).facts.page_count == 2
    with pytest.raises(TooManyPagesError, match="FLEET_MAX_PAGES"):
        read(build_pdf(objects), limits=Limits(pages=1))


def test_passwords(good_pdf: bytes) -> None:
    from pypdf import PdfReader, PdfWriter

    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(good_pdf)))
    writer.encrypt("schlüssel", algorithm="AES-256")
    output = io.BytesIO()
    writer.write(output)
    for password in (None, "", "wrong"):
        with pytest.raises(PasswordRequiredError):
            read(output.getvalue(), limits=LIMITS, password=password)
    reading = read(output.getvalue(), limits=LIMITS, password="schlüssel")
    assert reading.facts.encrypted
    assert reading.texts == ["Hello fleet"]


def test_what_is_no_document(good_pdf: bytes) -> None:
    for data in (b"<!DOCTYPE html><html>", b"\0" * 5_000, b"x"):
        with pytest.raises(NotADocumentError):
            read(data, limits=LIMITS)
    with pytest.raises(MalformedError):
        read(b"%PDF-1.7\n" + b"\0" * 500, limits=LIMITS)
    assert read(b"junk\n" * 100 + good_pdf, limits=LIMITS).texts == ["Hello fleet"]


@given(
    st.binary(max_size=300),
    st.sampled_from([b"", b"%PDF-1.4\n", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\0"]),
)
def test_any_bytes_end_in_a_typed_error(data: bytes, leading: bytes) -> None:
    with pytest.raises(PermanentError):
        read(leading + data, limits=LIMITS)
