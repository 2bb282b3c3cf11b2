"""Pages as pixels: how large they may be drawn, and the drawing."""

import ctypes
import math
from typing import Any

import msgspec
import pypdfium2.raw as pdfium

from app.documents.pdf import PageError

POINTS_PER_INCH = 72.0
_WHITE = 0xFFFFFFFF


class Bitmap(msgspec.Struct, frozen=True):
    """Drawn pixels, rows packed: one byte a pixel where grey, else four (red, green, blue, unused)."""

    pixels: Any
    width: int
    height: int
    bytes_per_pixel: int


def check_box(width: float, height: float, *, longest: float) -> None:
    """Refuse a page box (points) that must not be drawn: 595 x 2147483648 pt fits into 340 bytes of PDF.

    Raises:
        PageError: naming the box and the limit.
    """
    if not (math.isfinite(width) and math.isfinite(height) and width > 0 and height > 0):
        raise PageError(f"The page box of {width:g} x {height:g} pt has no area that could be drawn.")
    if max(width, height) > longest:
        raise PageError(
            f"The page box of {width:g} x {height:g} pt is larger than the limit of {longest:g} pt."
        )


def fit(width: float, height: float, *, longest: int) -> tuple[int, int]:
    """Return the size in pixels whose longest side is `longest` and whose proportions are those given.

    The shorter side is at least one pixel.
    """
    scale = longest / max(width, height)
    return (min(longest, max(1, round(width * scale))), min(longest, max(1, round(height * scale))))


def resolution(width: float, height: float, *, dpi: float, pixels: int) -> float:
    """Return the dpi at which a page of that many points may be drawn: `dpi`, or less where `pixels` is met first.

    The bitmap has (width * dpi / 72) * (height * dpi / 72) pixels.
    """
    wanted = width * height * (dpi / POINTS_PER_INCH) ** 2
    return dpi if wanted <= pixels else dpi * math.sqrt(pixels / wanted)


def draw(page: Any, width: int, height: int, *, grey: bool = False) -> Bitmap:
    """Draw the page, annotations included, onto white ground of that many pixels.

    Raises:
        PageError: when there is no memory for the bitmap.
    """
    bytes_per_pixel, kind = (1, pdfium.FPDFBitmap_Gray) if grey else (4, pdfium.FPDFBitmap_BGRx)
    stride = width * bytes_per_pixel
    pixels = ctypes.create_string_buffer(stride * height)
    bitmap = pdfium.FPDFBitmap_CreateEx(width, height, kind, pixels, stride)
    if not bitmap:
        raise PageError(f"The page cannot be drawn on {width} x {height} pixels.")
    try:
        pdfium.FPDFBitmap_FillRect(bitmap, 0, 0, width, height, _WHITE)
        # Red before blue is what Pillow reads without a conversion.
        flags = pdfium.FPDF_ANNOT | (pdfium.FPDF_GRAYSCALE if grey else pdfium.FPDF_REVERSE_BYTE_ORDER)
        pdfium.FPDF_RenderPageBitmap(bitmap, page, 0, 0, width, height, 0, flags)
    finally:
        pdfium.FPDFBitmap_Destroy(bitmap)
    return Bitmap(pixels, width, height, bytes_per_pixel)
