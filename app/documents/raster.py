"""Rendering of PDF pages to bitmaps, and the size of these bitmaps."""

import ctypes
import math
from typing import Any

import msgspec
import pypdfium2.raw as pdfium

from app.documents.pdf import PageError

POINTS_PER_INCH = 72.0
_WHITE = 0xFFFFFFFF


class Bitmap(msgspec.Struct, frozen=True):
    """A rendered page, without padding between rows: grey in one byte per pixel, or red, green, blue and unused."""

    pixels: Any
    width: int
    height: int


def check_box(width: float, height: float, *, longest: float) -> None:
    """Refuse a page box (in points) that is unsafe to draw: 340 bytes of PDF can declare 595 x 2147483648 pt.

    Raises:
        PageError: the box has no area, or a side longer than `longest`.
    """
    if not (math.isfinite(width) and math.isfinite(height) and width > 0 and height > 0):
        raise PageError(f"The page box of {width:g} x {height:g} pt has no area that could be drawn.")
    if max(width, height) > longest:
        raise PageError(
            f"The page box of {width:g} x {height:g} pt is larger than the limit of {longest:g} pt."
        )


def fit(width: float, height: float, *, longest: int) -> tuple[int, int]:
    """Return the size in pixels with the given proportions and `longest` as its longest side.

    The shorter side is at least one pixel.
    """
    scale = longest / max(width, height)
    return (min(longest, max(1, round(width * scale))), min(longest, max(1, round(height * scale))))


def resolution(width: float, height: float, *, dpi: float, pixels: int) -> float:
    """Return the dpi for drawing a page of `width` x `height` points: `dpi`, or less if `pixels` would be exceeded.

    The bitmap has (width * dpi / 72) * (height * dpi / 72) pixels.
    """
    desired = width * height * (dpi / POINTS_PER_INCH) ** 2
    return dpi if desired <= pixels else dpi * math.sqrt(pixels / desired)


def draw(page: Any, width: int, height: int, *, grey: bool = False) -> Bitmap:
    """Draw the page with its annotations on a white bitmap of `width` x `height` pixels.

    Raises:
        PageError: PDFium cannot create the bitmap.
    """
    bytes_per_pixel, kind = (1, pdfium.FPDFBitmap_Gray) if grey else (4, pdfium.FPDFBitmap_BGRx)
    stride = width * bytes_per_pixel
    pixels = ctypes.create_string_buffer(stride * height)
    bitmap = pdfium.FPDFBitmap_CreateEx(width, height, kind, pixels, stride)
    if not bitmap:
        raise PageError(f"The page cannot be drawn on {width} x {height} pixels.")
    try:
        pdfium.FPDFBitmap_FillRect(bitmap, 0, 0, width, height, _WHITE)
        # Pillow reads red before blue without a conversion.
        flags = pdfium.FPDF_ANNOT | (pdfium.FPDF_GRAYSCALE if grey else pdfium.FPDF_REVERSE_BYTE_ORDER)
        pdfium.FPDF_RenderPageBitmap(bitmap, page, 0, 0, width, height, 0, flags)
    finally:
        pdfium.FPDFBitmap_Destroy(bitmap)
    return Bitmap(pixels, width, height)
