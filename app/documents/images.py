"""Images as documents: JPEG, PNG, WebP, and TIFF, whose frames are pages; none is decoded before its size is known."""

import io
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from app.documents.limits import Limits
from app.documents.models import MediaType, Page
from app.documents.pdf import PageError
from app.documents.raster import POINTS_PER_INCH, fit
from app.documents.thumbnail import jpeg
from app.errors import MalformedError, ResourceLimitError, TooManyPagesError

if TYPE_CHECKING:
    from PIL.Image import Image

_DAMAGED = "The image is damaged or cut off."
_LEAST_DPI, _MOST_DPI = 10.0, 10_000.0
"""Resolutions that are believed."""
_WEBP_CANVAS = slice(24, 30)
_PILLOW_ERRORS = (
    OSError,
    ValueError,
    SyntaxError,
    LookupError,
    TypeError,
    ArithmeticError,
    EOFError,
    struct.error,
)
"""What Pillow's parsers raise for nonsense; UnidentifiedImageError is an OSError."""


class ImageTooLargeError(PageError):
    """The image has more pixels than are decoded."""


@contextmanager
def open_image(data: bytes, media_type: MediaType, *, limits: Limits) -> Iterator["Image"]:
    """Open an image and yield it, undecoded, for as long as the context lasts.

    Raises:
        MalformedError: when its header cannot be read.
        ResourceLimitError: when opening it alone would take more than `limits.image_pixels`.
    """
    from PIL import Image  # noqa: PLC0415  # documents without a thumbnail never need it

    # `check_pixels` is the guard, by our limit; Pillow's own would only warn, and refuse at another number.
    Image.MAX_IMAGE_PIXELS = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd metadata, which is not ours to mend
        try:
            if media_type is MediaType.WEBP:
                # Opening a WebP allocates its canvas, twice: look at the announced size before.
                check_pixels(*_webp_canvas(data), limits=limits)
            image = Image.open(io.BytesIO(data), formats=[media_type.name])
        except ImageTooLargeError as error:
            raise ResourceLimitError(str(error)) from None
        except _PILLOW_ERRORS as error:
            raise MalformedError(f"{_DAMAGED} Ask for a new copy.") from error
        with image:
            yield image


def _webp_canvas(data: bytes) -> tuple[int, int]:
    """Width and height of an extended WebP (RFC 9649, 2.7); the simple kinds hold at most 16,383 a side."""
    if data[12:16] != b"VP8X" or len(data) < _WEBP_CANVAS.stop:
        return (1, 1)
    raw = data[_WEBP_CANVAS]
    return (int.from_bytes(raw[:3], "little") + 1, int.from_bytes(raw[3:], "little") + 1)


def _too_large(limits: Limits) -> str:
    return f"The image has more than {limits.image_pixels} pixels: make it smaller, or raise FLEET_MAX_IMAGE_PIXELS."


def check_pixels(width: int, height: int, *, limits: Limits) -> None:
    """Refuse to decode an image that is too large.

    Raises:
        ImageTooLargeError: with the limit.
    """
    if width < 1 or height < 1:
        raise PageError(_DAMAGED)
    if width * height > limits.image_pixels:
        raise ImageTooLargeError(_too_large(limits))


def frames(image: "Image", media_type: MediaType, *, limits: Limits) -> Iterator[int]:
    """Go through the frames that are pages, and yield the number (from 1) of each once it is the current one.

    Animations are their first frame. Frames are walked one by one: a chain of them that does not end must not
    be counted first.

    Raises:
        TooManyPagesError: beyond `limits.pages`.
    """
    yield 1
    number = 1
    while media_type is MediaType.TIFF:
        try:
            image.seek(number)
        except _PILLOW_ERRORS:  # EOFError is the regular end, the others an end in a damaged directory
            return
        number += 1
        if number > limits.pages:
            raise TooManyPagesError(
                f"The document has more than {limits.pages} pages: split it, or raise FLEET_MAX_PAGES."
            )
        yield number


def measure(image: "Image", number: int, *, limits: Limits) -> Page:
    """Return the current frame as a page, its size in points by the resolution that it states (else 72 dpi).

    Raises:
        PageError: when it is too large to be decoded.
    """
    check_pixels(*image.size, limits=limits)
    width, height = (
        pixels * POINTS_PER_INCH / dpi for pixels, dpi in zip(image.size, _stated_dpi(image), strict=True)
    )
    return Page(number=number, width=round(width, 2), height=round(height, 2), has_image=True)


def _stated_dpi(image: "Image") -> tuple[float, float]:
    stated: Any = image.info.get("dpi")
    try:
        across, down = (float(value) for value in stated)
    except (TypeError, ValueError, ZeroDivisionError):
        return (POINTS_PER_INCH, POINTS_PER_INCH)
    # A TIFF without a resolution is said to have 1 dpi; not a number fails every comparison.
    if all(_LEAST_DPI <= value <= _MOST_DPI for value in (across, down)):
        return (across, down)
    return (POINTS_PER_INCH, POINTS_PER_INCH)


def image_thumbnail(image: "Image", *, limits: Limits) -> bytes:
    """Return the current frame, upright and on white, as JPEG with longest side `limits.thumbnail_pixels`.

    Raises:
        PageError: when it cannot be decoded.
    """
    size = fit(*image.size, longest=limits.thumbnail_pixels)
    with decoding():
        image.draft("RGB", size)  # a JPEG decodes at an eighth of its size for an eighth of the time
        return jpeg(flat(image).resize(size_upright(image, size), reducing_gap=2.0))


def size_upright(image: "Image", size: tuple[int, int]) -> tuple[int, int]:
    """Return `size` as it is once the frame is turned the way its EXIF orientation says."""
    width, height = size
    return (height, width) if image.getexif().get(0x0112) in {5, 6, 7, 8} else (width, height)


def flat(image: "Image") -> "Image":
    """Return the current frame decoded, upright, and without transparency: RGB, or L where it is grey."""
    from PIL import Image, ImageOps  # noqa: PLC0415  # lazy like the above

    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I;16"):
        # Sixteen bits of grey: keep the upper eight, as a plain conversion would clip.
        return upright.convert("I").point(lambda value: value / 256).convert("L")
    if upright.has_transparency_data:
        rgba = upright.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    return upright.convert("L" if upright.mode in {"1", "L"} else "RGB")


@contextmanager
def decoding() -> Iterator[None]:
    """Turn what Pillow raises for damaged pixels into a `PageError`."""
    try:
        yield
    except _PILLOW_ERRORS as error:
        raise PageError(_DAMAGED) from error
