"""Images as documents: JPEG, PNG, WebP, and TIFF with a page per frame. Their size is checked before decoding."""

import io
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from PIL import Image, ImageOps

from app.documents.limits import Limits
from app.documents.models import MediaType, Page
from app.documents.pdf import PageError
from app.documents.raster import POINTS_PER_INCH, fit
from app.documents.thumbnail import jpeg
from app.errors import MalformedError, ResourceLimitError, TooManyPagesError

_DAMAGED = "The image is damaged or cut off."
_LEAST_DPI, _MOST_DPI = 10.0, 10_000.0
"""Bounds of a plausible resolution; a resolution outside them is ignored."""
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
"""Exceptions that Pillow's parsers raise for damaged files; UnidentifiedImageError is an OSError."""


class ImageTooLargeError(PageError):
    """The image has more pixels than `Limits.image_pixels`."""


@contextmanager
def open_image(data: bytes, media_type: MediaType, *, limits: Limits) -> Iterator[Image.Image]:
    """Open an image without decoding it, and yield it.

    Raises:
        MalformedError: the header cannot be read.
        ResourceLimitError: a WebP canvas exceeds `limits.image_pixels`.
    """
    # `check_pixels` enforces our limit. Pillow's own check warns first and refuses only at twice its limit.
    Image.MAX_IMAGE_PIXELS = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about odd metadata
        try:
            if media_type is MediaType.WEBP:
                # Opening a WebP allocates its canvas twice: check the announced size before.
                check_pixels(*_webp_canvas(data), limits=limits)
            image = Image.open(io.BytesIO(data), formats=[media_type.name])
        except ImageTooLargeError as error:
            raise ResourceLimitError(str(error)) from None
        except _PILLOW_ERRORS as error:
            raise MalformedError(f"{_DAMAGED} Ask for a new copy.") from error
        with image:
            yield image


def _webp_canvas(data: bytes) -> tuple[int, int]:
    """Return width and height of an extended WebP (RFC 9649, 2.7); a simple one has at most 16,383 a side."""
    if data[12:16] != b"VP8X" or len(data) < _WEBP_CANVAS.stop:
        return (1, 1)
    raw = data[_WEBP_CANVAS]
    return (int.from_bytes(raw[:3], "little") + 1, int.from_bytes(raw[3:], "little") + 1)


def check_pixels(width: int, height: int, *, limits: Limits) -> None:
    """Refuse to decode an image of impossible or excessive size.

    Raises:
        PageError: a side is shorter than one pixel.
        ImageTooLargeError: it has more than `limits.image_pixels`.
    """
    if width < 1 or height < 1:
        raise PageError(_DAMAGED)
    if width * height > limits.image_pixels:
        raise ImageTooLargeError(
            f"The image has more than {limits.image_pixels} pixels: make it smaller, "
            "or raise FLEET_MAX_IMAGE_PIXELS."
        )


def frames(image: Image.Image, media_type: MediaType, *, limits: Limits) -> Iterator[int]:
    """Seek each frame that is a page in turn, and yield its number (from 1) while it is the current frame.

    Of an animation only the first frame is a page. The frames are not counted first, because their chain may be
    endless.

    Raises:
        TooManyPagesError: there are more frames than `limits.pages`.
    """
    yield 1
    number = 1
    while media_type is MediaType.TIFF:
        try:
            image.seek(number)
        except _PILLOW_ERRORS:  # EOFError is the regular end; the others come from a damaged directory
            return
        number += 1
        if number > limits.pages:
            raise TooManyPagesError(
                f"The document has more than {limits.pages} pages: split it, or raise FLEET_MAX_PAGES."
            )
        yield number


def measure(image: Image.Image, number: int, *, limits: Limits) -> Page:
    """Return the current frame as a page, its size in points at the image's own resolution (72 dpi if it has none).

    Raises:
        PageError: the frame is too large to be decoded.
    """
    check_pixels(*image.size, limits=limits)
    across, down = stated_dpi(image) or (POINTS_PER_INCH, POINTS_PER_INCH)
    width, height = image.width * POINTS_PER_INCH / across, image.height * POINTS_PER_INCH / down
    return Page(number=number, width=round(width, 2), height=round(height, 2), has_image=True)


def stated_dpi(image: Image.Image) -> tuple[float, float] | None:
    """Return the current frame's own resolution across and down (dpi), or None if it has no plausible one."""
    with suppress(KeyError, TypeError, ValueError, ZeroDivisionError):
        across, down = (float(value) for value in image.info["dpi"])
        # Pillow reports 1 dpi for a TIFF without a resolution; NaN fails every comparison.
        if all(_LEAST_DPI <= value <= _MOST_DPI for value in (across, down)):
            return (across, down)
    return None


def image_thumbnail(image: Image.Image, *, limits: Limits) -> bytes:
    """Return the current frame, upright and on white, as JPEG with longest side `limits.thumbnail_pixels`.

    Raises:
        PageError: the frame cannot be decoded.
    """
    size = fit(*image.size, longest=limits.thumbnail_pixels)
    with decoding():
        image.draft("RGB", size)  # a JPEG decodes at an eighth of its size in an eighth of the time
        upright = flatten(image)
        turned = image.getexif().get(0x0112) in {5, 6, 7, 8}  # EXIF orientations that swap width and height
        return jpeg(upright.resize(size[::-1] if turned else size, reducing_gap=2.0))


def flatten(image: Image.Image) -> Image.Image:
    """Decode the current frame and return it upright and without transparency, as RGB, or L if it is grey."""
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I;16"):
        # Keep the upper eight of sixteen bits of grey: a plain conversion would clip.
        return upright.convert("I").point(lambda value: value / 256).convert("L")
    if upright.has_transparency_data:
        rgba = upright.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    return upright.convert("L" if upright.mode in {"1", "L"} else "RGB")


@contextmanager
def decoding() -> Iterator[None]:
    """Turn the exceptions that Pillow raises for damaged pixels into a `PageError`."""
    try:
        yield
    except _PILLOW_ERRORS as error:
        raise PageError(_DAMAGED) from error
