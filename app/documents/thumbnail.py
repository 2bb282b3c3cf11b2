"""Thumbnails of PDF pages, as JPEG."""

import io
from typing import Any

from PIL import Image

from app.documents.limits import Limits
from app.documents.raster import check_box, draw, fit

JPEG_QUALITY = 80
"""Keeps text legible; at 320 pixels a page takes some 10 to 20 KB."""


def pdf_thumbnail(page: Any, width: float, height: float, *, limits: Limits) -> bytes:
    """Draw a PDF page of `width` x `height` points as JPEG with longest side `limits.thumbnail_pixels`.

    Raises:
        PageError: the page box is unsafe to draw, or PDFium cannot draw it.
    """
    check_box(width, height, longest=limits.page_points)
    bitmap = draw(page, *fit(width, height, longest=limits.thumbnail_pixels))
    size = (bitmap.width, bitmap.height)
    return jpeg(Image.frombuffer("RGB", size, bitmap.pixels, "raw", "RGBX", 0, 1))


def jpeg(image: Image.Image) -> bytes:
    """Return an RGB or greyscale image as JPEG."""
    output = io.BytesIO()
    image.save(output, "JPEG", quality=JPEG_QUALITY)
    return output.getvalue()
