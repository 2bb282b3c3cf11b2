import io
import struct
import zlib

import pytest
from PIL import Image

from app.documents.limits import Limits
from app.documents.models import OcrMode
from app.documents.reading import read
from app.errors import MalformedError, ResourceLimitError, TooManyPagesError
from tests.support.documents import make_image

LIMITS = Limits()


def thumbnail_of(data: bytes) -> Image.Image:
    reading = read(data, limits=LIMITS)
    assert reading.thumbnail is not None
    return Image.open(io.BytesIO(reading.thumbnail))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_an_image_is_a_document_of_one_page(kind: str) -> None:
    data = make_image(kind, (800, 400), dpi=(100, 100))
    reading = read(data, limits=LIMITS)
    (page,) = reading.facts.pages
    assert (reading.facts.media_type.value, reading.texts) == (f"image/{kind.lower()}", [""])
    assert page.has_image
    assert not page.needs_ocr
    if kind != "WEBP":  # which states no resolution
        assert (page.width, page.height) == (576.0, 288.0)
    assert thumbnail_of(data).size == (320, 160)


def test_images_are_recognised_only_when_asked() -> None:
    data = make_image("PNG")
    needed = {mode: read(data, limits=LIMITS, ocr=mode).facts.pages_needing_ocr for mode in OcrMode}
    assert needed == {OcrMode.AUTO: [], OcrMode.NEVER: [], OcrMode.ALWAYS: [1]}


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16", "I", "F"])
def test_every_mode_has_a_thumbnail(mode: str) -> None:
    assert thumbnail_of(make_image("TIFF", mode=mode)).size == (320, 160)


def test_transparency_is_white() -> None:
    output = io.BytesIO()
    Image.new("RGBA", (40, 40), (0, 0, 0, 0)).save(output, "PNG")
    assert thumbnail_of(output.getvalue()).getpixel((5, 5)) == (255, 255, 255)


def test_a_turned_photograph_is_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert thumbnail_of(make_image("JPEG", (800, 400), exif=exif)).size == (160, 320)


def tiff(frames: int) -> bytes:
    output = io.BytesIO()
    images = [Image.new("L", (100 + number, 50)) for number in range(frames)]
    images[0].save(output, "TIFF", save_all=True, append_images=images[1:])
    return output.getvalue()


def test_the_frames_of_a_tiff_are_pages() -> None:
    reading = read(tiff(3), limits=LIMITS, ocr=OcrMode.ALWAYS)
    assert [page.width for page in reading.facts.pages] == [100.0, 101.0, 102.0]
    assert reading.facts.pages_needing_ocr == [1, 2, 3]


def test_a_tiff_has_no_more_frames_than_pages_are_allowed() -> None:
    assert read(tiff(3), limits=Limits(pages=3)).facts.page_count == 3
    with pytest.raises(TooManyPagesError, match="FLEET_MAX_PAGES"):
        read(tiff(4), limits=Limits(pages=3))


def test_a_frame_that_is_too_large_is_listed() -> None:
    reading = read(tiff(3), limits=Limits(image_pixels=101 * 50))
    assert reading.facts.unreadable_pages == [3]
    assert "FLEET_MAX_IMAGE_PIXELS" in (reading.facts.pages[2].error or "")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_an_image_cut_off_is_malformed(kind: str) -> None:
    output = io.BytesIO()
    Image.effect_noise((300, 300), 90).convert("RGB").save(output, kind)
    data = output.getvalue()
    for length in (20, len(data) // 2):
        with pytest.raises(MalformedError):
            read(data[:length], limits=LIMITS)


def png_bomb(side: int) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 100))
        + chunk(b"IEND", b"")
    )


def webp_bomb(side: int) -> bytes:
    content = b"VP8X" + struct.pack("<I", 10) + b"\x02\0\0\0" + (side - 1).to_bytes(3, "little") * 2
    return b"RIFF" + struct.pack("<I", len(content) + 4) + b"WEBP" + content


@pytest.mark.parametrize("bomb", [png_bomb(60_000), webp_bomb(16_000)], ids=["png", "webp"])
def test_an_image_with_too_many_pixels_is_not_decoded(bomb: bytes) -> None:
    with pytest.raises(ResourceLimitError, match="FLEET_MAX_IMAGE_PIXELS"):
        read(bomb, limits=LIMITS)
