"""The thumbnail of a document's first page."""

import io
from typing import TYPE_CHECKING, Any

from app.documents.limits import Limits
from app.documents.raster import check_box, draw, fit

if TYPE_CHECKING:
    from PIL.Image import Image

JPEG_QUALITY = 80
"""Text stays legible; at 320 pixels a page is some 10 to 20 KB."""


def pdf_thumbnail(page: Any, width: float, height: float, *, limits: Limits) -> bytes:
    """Draw a PDF page of that many points and return it as JPEG, longest side `limits.thumbnail_pixels`.

    Raises:
        PageError: when the page box must not or cannot be drawn.
    """
    from PIL import Image  # noqa: PLC0415  # a start without it is 30 ms shorter

    check_box(width, height, longest=limits.page_points)
    bitmap = draw(page, *fit(width, height, longest=limits.thumbnail_pixels))
    size = (bitmap.width, bitmap.height)
    return jpeg(Image.frombuffer("RGB", size, bitmap.pixels, "raw", "RGBX", 0, 1))


def jpeg(image: "Image") -> bytes:
    """Return an RGB or greyscale image as JPEG."""
    output = io.BytesIO()
    image.save(output, "JPEG", quality=JPEG_QUALITY)
    return output.getvalue()
