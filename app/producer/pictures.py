"""Makes pictures with Pillow: photographs for reports, images as documents, and scanned pages.

Integer arithmetic and fixed encoder settings give the same bytes for a seed on every machine with the same Pillow. PNG
is not compressed for that reason: the output of zlib differs between builds.
"""

from io import BytesIO
from pathlib import Path
from random import Random

import reportlab
from PIL import Image, ImageChops, ImageDraw, ImageFont
from PIL.ImageFont import FreeTypeFont

from app.producer import vocabulary

SCAN_DPI = 200
SCAN_SIZE = (1654, 2339)
"""A4 at `SCAN_DPI`, in pixels."""
STOCK_SIZE = (960, 600)
"""Width and height of the photographs in text documents, in pixels."""
_PAPER, _INK = 236, 40
_MARGIN, _LEADING, _LINE_CHARACTERS = 190, 50, 62
_SLANT = 400
"""Pixels of a scanned line per pixel that it rises or falls, as on a sheet that lies at an angle."""


def photograph(random: Random, width: int, height: int) -> bytes:
    """Return a landscape as JPEG (quality 70)."""
    return _jpeg(_landscape(random, width, height), quality=70)


def stock_photograph(number: int) -> bytes:
    """Return photograph `number` of the collection that all text documents share, as JPEG of `STOCK_SIZE`."""
    return photograph(Random(f"stock/{number}"), *STOCK_SIZE)  # noqa: S311 - a picture, not a secret


def png(random: Random, width: int, height: int) -> bytes:
    """Return a landscape as PNG with a palette."""
    buffer = BytesIO()
    _landscape(random, width, height).quantize(64, dither=Image.Dither.NONE).save(
        buffer, "PNG", compress_level=0
    )
    return buffer.getvalue()


def scan(random: Random) -> tuple[bytes, list[str]]:
    """Return a scanned page of text, with grey paper, noise and slanted lines, as JPEG (A4 at 200 dpi).

    Returns:
        The picture, and its lines of text.
    """
    width, height = SCAN_SIZE
    page = Image.new("L", SCAN_SIZE, _PAPER)
    draw = ImageDraw.Draw(page)
    slope = random.choice((-1, 1))
    lines: list[str] = []
    top = _MARGIN
    for text, font in _scan_lines(random):
        if text:
            left = _MARGIN
            for word in text.split():
                draw.text((left, top + slope * left // _SLANT), word, fill=_INK, font=font)
                left += int(font.getlength(word + " "))
            lines.append(text)
        top += _LEADING
    # Noise at a quarter of the resolution looks like grain and keeps the file small.
    grain_size = (width // 4, height // 4)
    grain = Image.frombytes("L", grain_size, random.randbytes(grain_size[0] * grain_size[1]))
    noise = grain.point([value * 22 // 255 for value in range(256)]).resize(
        SCAN_SIZE, Image.Resampling.NEAREST
    )
    return _jpeg(ImageChops.subtract(page, noise), quality=40, dpi=SCAN_DPI), lines


def _scan_lines(random: Random) -> list[tuple[str, FreeTypeFont]]:
    head, body = _font(42), _font(31)
    lines = [(vocabulary.company(random), head), ("", body), (vocabulary.title(random), body), ("", body)]
    for _ in range(random.randrange(2, 4)):
        line = ""
        for word in vocabulary.paragraph(random, 3).split():
            if len(line) + len(word) > _LINE_CHARACTERS:
                lines.append((line, body))
                line = ""
            line = f"{line} {word}".strip()
        lines += [(line, body), ("", body)]
    return [*lines, (vocabulary.person(random), body)]


def _font(size: int) -> FreeTypeFont:
    """Return the font Bitstream Vera, which reportlab contains; the basic layout needs no shaping library."""
    path = Path(reportlab.__file__).parent / "fonts" / "Vera.ttf"
    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)


def _landscape(random: Random, width: int, height: int) -> Image.Image:
    picture = Image.new("RGB", (width, height))
    draw = ImageDraw.Draw(picture)
    sky = (random.randrange(90, 180), random.randrange(140, 200), random.randrange(200, 250))
    for row in range(height):
        light = row * 60 // height
        draw.line([(0, row), (width, row)], fill=(sky[0] + light, min(sky[1] + light, 255), sky[2]))
    radius = height // 9
    sun = random.randrange(width // 5, width * 4 // 5)
    draw.ellipse([sun - radius, radius, sun + radius, radius * 3], fill=(255, 240, 190))
    for layer in range(3):
        crest = height * (5 + layer) // 9
        shade = 150 - 38 * layer
        ridge = [
            (width * step // 8, crest + random.randrange(-height // 9, height // 9)) for step in range(9)
        ]
        draw.polygon([(0, height), *ridge, (width, height)], fill=(shade // 2, shade, shade * 2 // 3))
    return picture


def _jpeg(picture: Image.Image, *, quality: int, dpi: int = 96) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, "JPEG", quality=quality, subsampling=2, dpi=(dpi, dpi))
    return buffer.getvalue()
