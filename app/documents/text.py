"""Reading of the text layer of PDF pages."""

import ctypes
from typing import Any

import msgspec
import pypdfium2.raw as pdfium

from app.documents.pdf import PageError
from app.errors import ResourceLimitError

_FIRST_BUFFER_UNITS = 16 * 1_024


class PageText(msgspec.Struct, frozen=True):
    """Text of one page."""

    text: str
    """Lines end in LF; U+0002, PDFium's mark for a hyphen at the end of a line, is a hyphen."""
    characters: int
    """Number of characters as PDFium counts them: a line end is two, CR LF."""


class TextReader:
    """Reader of the text of a document's pages, for up to `limit` characters in total."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._left = limit
        self._units = _FIRST_BUFFER_UNITS
        self._buffer = (ctypes.c_ushort * self._units)()

    def read(self, page: Any) -> PageText:
        """Return the Unicode text within the page's visible box (its crop box).

        Raises:
            PageError: PDFium cannot read the page's text or box.
            ResourceLimitError: the document's text exceeds the limit.
        """
        textpage = pdfium.FPDFText_LoadPage(page)
        if not textpage:
            raise PageError("The text of the page cannot be read.")
        try:
            count = int(pdfium.FPDFText_CountChars(textpage))
            if count < 0:
                raise PageError("The text of the page cannot be read.")
            self._check(count)
            raw = self._bounded_text(page, textpage) if count else ""
        finally:
            pdfium.FPDFText_ClosePage(textpage)
        self._check(len(raw))
        self._left -= len(raw)
        return PageText(raw.replace("\r\n", "\n").replace("\x02", "-"), len(raw))

    def _check(self, characters: int) -> None:
        if characters > self._left:
            raise ResourceLimitError(
                f"The document holds more than {self._limit} characters of text: split it, "
                "or raise FLEET_MAX_TEXT_CHARACTERS."
            )

    def _bounded_text(self, page: Any, textpage: Any) -> str:
        box = pdfium.FS_RECTF()
        if not pdfium.FPDF_GetPageBoundingBox(page, box):
            raise PageError("The box of the page cannot be read.")
        while True:
            # One call usually suffices. Asking for the length first would cost as much: PDFium extracts the text again.
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
        # PDFium ends the text with a zero and counts it.
        return text.removesuffix("\0")
