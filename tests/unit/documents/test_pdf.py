import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.documents import pdf
from app.errors import MalformedError, NotADocumentError, UnsupportedSecurityError
from tests.support.documents import Objects, build_pdf, one_page, pdf_stream


@given(st.text(max_size=60), st.integers(1, 100))
def test_metadata_is_bounded_and_has_no_control_characters(words: str, times: int) -> None:
    cleaned = pdf.clean(words * times)
    assert len(cleaned) <= pdf.METADATA_CHARACTERS
    assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in cleaned)
    assert pdf.clean(cleaned) == cleaned


def test_metadata_version_and_encryption() -> None:
    information = b"<</Title(A\\000b\\tc)/Author(%s)/Subject()>>" % (b"x" * 5_000)
    data = build_pdf(one_page(b"") | {5: information}).replace(b"/Root 1 0 R", b"/Root 1 0 R/Info 5 0 R")
    with pdf.open_pdf(data) as document:
        assert pdf.metadata(document) == {"title": "A b c", "author": "x" * pdf.METADATA_CHARACTERS}
        assert pdf.pdf_version(document) == "1.7"
        assert not pdf.is_encrypted(document)


def test_an_image_is_found_inside_a_form(scan_objects: Objects, good_pdf: bytes) -> None:
    for data, expected in ((build_pdf(scan_objects), True), (good_pdf, False)):
        with pdf.open_pdf(data) as document, pdf.open_page(document, 0) as page:
            assert pdf.has_image(page) is expected


def test_the_search_for_an_image_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    objects = one_page(b"/Fm Do " * 50 + b"/Im Do", resources=b"/XObject<</Fm 5 0 R/Im 6 0 R>>")
    objects[5] = pdf_stream(b"0 0 9 9 re f " * 50, b"/Type/XObject/Subtype/Form/BBox[0 0 9 9]")
    objects[6] = pdf_stream(
        b"\0", b"/Subtype/Image/Width 1/Height 1/ColorSpace/DeviceGray/BitsPerComponent 8"
    )
    with pdf.open_pdf(build_pdf(objects)) as document, pdf.open_page(document, 0) as page:
        assert pdf.has_image(page)
        monkeypatch.setattr(pdf, "MAX_OBJECTS", 20)
        assert not pdf.has_image(page)


def test_what_cannot_be_opened_says_why() -> None:
    with pytest.raises(MalformedError), pdf.open_pdf(b"%PDF-1.4 and no more"):
        pass
    with pytest.raises(NotADocumentError), pdf.open_pdf(b"<html></html>"):
        pass
    locked = build_pdf(one_page(b"")).replace(
        b"/Root 1 0 R", b"/Root 1 0 R/ID[<00><00>]/Encrypt<</Filter/Strange/V 9/R 9>>"
    )
    with pytest.raises(UnsupportedSecurityError), pdf.open_pdf(locked):
        pass


def test_a_document_without_pages_is_malformed() -> None:
    empty = build_pdf({1: b"<</Type/Catalog/Pages 2 0 R>>", 2: b"<</Type/Pages/Kids[]/Count 0>>"})
    with pdf.open_pdf(empty) as document, pytest.raises(MalformedError, match="no pages"):
        pdf.page_count(document)
