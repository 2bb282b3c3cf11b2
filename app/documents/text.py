"""The text layer of a PDF's pages."""

import ctypes
from typing import Any

import msgspec
import pypdfium2.raw as pdfium

from app.documents.pdf import PageError
from app.errors import ResourceLimitError

_FIRST_BUFFER_UNITS = 16 * 1_024


class PageText(msgspec.Struct, frozen=True):
    """The text of one page."""

    text: str
    """Lines end in LF; a hyphen that PDFium took for a line's end (U+0002) is a hyphen again."""
    characters: int
    """Characters as PDFium counts them: every line end is two, CR LF."""


class TextReader:
    """Reads the text of one document's pages, up to `limit` characters over all of them."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._left = limit
        self._units = _FIRST_BUFFER_UNITS
        self._buffer = (ctypes.c_ushort * self._units)()

    def read(self, page: Any) -> PageText:
        """Return the text within the page's visible box (its crop box), in full Unicode.

        Raises:
            PageError: when PDFium cannot lay the page's text out.
            ResourceLimitError: when the document's text goes beyond the limit.
        """
        textpage = pdfium.FPDFText_LoadPage(page)
        if not textpage:
            raise PageError("The text of the page cannot be read.")
        try:
            count = int(pdfium.FPDFText_CountChars(textpage))
            if count < 0:
                raise PageError("The text of the page cannot be read.")
            self._spend(count, only_check=True)
            raw = self._bounded_text(page, textpage) if count else ""
        finally:
            pdfium.FPDFText_ClosePage(textpage)
        self._spend(len(raw))
        return PageText(raw.replace("\r\n", "\n").replace("\x02", "-"), len(raw))

    def _spend(self, characters: int, *, only_check: bool = False) -> None:
        if characters > self._left:
            raise ResourceLimitError(
                f"The document holds more than {self._limit} characters of text: split it, "
                "or raise FLEET_MAX_TEXT_CHARACTERS."
            )
        if not only_check:
            self._left -= characters

    def _bounded_text(self, page: Any, textpage: Any) -> str:
        box = pdfium.FS_RECTF()
        if not pdfium.FPDF_GetPageBoundingBox(page, box):
            raise PageError("The box of the page cannot be read.")
        while True:
            # One call that usually fits: PDFium collects the text anew each time, also when asked for its length.
            units = int(
                pdfium.FPDFText_GetBoundedText(
                    textpage, box.left, box.top, box.right, box.bottom, self._buffer, self._units
                )
            )
            if units < self._units:
                break
            self._units *= 4
            self._buffer = (ctypes.c_ushort * self._units)()
        text = ctypes.string_at(self._buffer, units * 2).decode("utf-16-le", "ignore")
        # PDFium ends the text with a zero, which it counts among what it wrote.
        return text.removesuffix("\0")
