"""A PDF as PDFium opens it: the document, its pages, and what it says about itself.

PDFium's C functions are called directly: the wrappers' finalizers cost more than the calls, on every page.
"""

import ctypes
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# pypdfium2's own import loads and initialises the library that `raw` calls.
import pypdfium2.raw as pdfium

from app.documents.media import sniff
from app.errors import (
    MalformedError,
    NotADocumentError,
    PasswordRequiredError,
    PermanentError,
    UnsupportedSecurityError,
)

METADATA_KEYS = {
    "title": b"Title\0",
    "author": b"Author\0",
    "subject": b"Subject\0",
    "keywords": b"Keywords\0",
    "creator": b"Creator\0",
    "producer": b"Producer\0",
    "creation_date": b"CreationDate\0",
    "modification_date": b"ModDate\0",
}
"""Our names of the document information dictionary's entries (ISO 32000-1, table 317)."""
METADATA_CHARACTERS = 1_000
"""Longest metadata value that is kept."""
FORM_DEPTH = 15
OBJECTS_LOOKED_AT = 10_000
"""Page objects that the search for an image looks at: hostile files nest forms exponentially."""

_CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_METADATA_BUFFER_BYTES = 2 * (METADATA_CHARACTERS + 1)


class PageError(Exception):
    """One page cannot be read; the message says why, the rest of the document goes on."""


@contextmanager
def open_pdf(data: bytes, password: str | None = None) -> Iterator[Any]:
    """Open a PDF and yield PDFium's handle of it, for as long as the context lasts.

    Raises:
        PasswordRequiredError: no password, or a wrong one, was given for an encrypted document.
        UnsupportedSecurityError: it is encrypted by a scheme that PDFium does not know.
        MalformedError: it is damaged, or has no page at all.
        NotADocumentError: PDFium cannot open it and it has no PDF header either.
    """
    secret = None if password is None else password.encode("utf-8", "ignore")
    document = pdfium.FPDF_LoadMemDocument64(data, len(data), secret)
    if not document:
        # The last error belongs to this call only because it has just failed: success does not reset it.
        raise _opening_error(pdfium.FPDF_GetLastError(), data)
    try:
        yield document
    finally:
        pdfium.FPDF_CloseDocument(document)


def _opening_error(code: int, data: bytes) -> PermanentError:
    if code == pdfium.FPDF_ERR_PASSWORD:
        return PasswordRequiredError()
    if code == pdfium.FPDF_ERR_SECURITY:
        return UnsupportedSecurityError()
    return NotADocumentError() if sniff(data) is None else MalformedError()


@contextmanager
def open_page(document: Any, index: int) -> Iterator[Any]:
    """Load the page at `index` (from 0) and yield PDFium's handle of it.

    Raises:
        PageError: when PDFium cannot load it.
    """
    page = pdfium.FPDF_LoadPage(document, index)
    if not page:
        raise PageError("The page cannot be loaded: its entry in the page tree is missing or damaged.")
    try:
        yield page
    finally:
        pdfium.FPDF_ClosePage(page)


def page_count(document: Any) -> int:
    """Return the number of pages.

    Raises:
        MalformedError: when there is none.
    """
    count = int(pdfium.FPDF_GetPageCount(document))
    if count < 1:
        raise MalformedError("The document has no pages: ask for a new copy.")
    return count


def page_size(page: Any) -> tuple[float, float]:
    """Return width and height in points as displayed (after rotation); 0 where the box makes no sense."""
    width = float(pdfium.FPDF_GetPageWidthF(page))
    height = float(pdfium.FPDF_GetPageHeightF(page))
    return (width if math.isfinite(width) else 0.0, height if math.isfinite(height) else 0.0)


def is_encrypted(document: Any) -> bool:
    """Whether the document is encrypted, be it only against changes or printing."""
    return int(pdfium.FPDF_GetSecurityHandlerRevision(document)) != -1


def pdf_version(document: Any) -> str | None:
    """Return the version in the header, as "1.7"; None where it cannot be read."""
    version = ctypes.c_int()
    if not pdfium.FPDF_GetFileVersion(document, version):
        return None
    major, minor = divmod(version.value, 10)
    return f"{major}.{minor}"


def metadata(document: Any) -> dict[str, str]:
    """Return the document's metadata under our names, without empty values and control characters.

    Dates stay as they are written ("D:20240131120000+01'00'"): too many are not what the standard says.
    """
    found: dict[str, str] = {}
    buffer = ctypes.create_string_buffer(_METADATA_BUFFER_BYTES)
    for name, key in METADATA_KEYS.items():
        size = pdfium.FPDF_GetMetaText(document, key, buffer, _METADATA_BUFFER_BYTES)
        if size <= 2:  # noqa: PLR2004  # nothing but the terminating UTF-16 zero
            continue
        if size <= _METADATA_BUFFER_BYTES:
            raw = buffer.raw[: size - 2]
        else:
            longer = ctypes.create_string_buffer(size)
            pdfium.FPDF_GetMetaText(document, key, longer, size)
            raw = longer.raw[: size - 2]
        value = clean(raw.decode("utf-16-le", "ignore"))
        if value:
            found[name] = value
    return found


def clean(value: str) -> str:
    """Return a metadata value fit to be shown: control characters are blanks, its length is bounded."""
    return _CONTROL_CHARACTERS.sub(" ", value).strip()[:METADATA_CHARACTERS].rstrip()


def has_image(page: Any) -> bool:
    """Whether the page shows an image, also inside form XObjects."""
    looked_at = 0
    pending: list[tuple[Any, bool, int]] = [(page, False, 0)]
    while pending:
        container, is_form, depth = pending.pop()
        count = pdfium.FPDFFormObj_CountObjects if is_form else pdfium.FPDFPage_CountObjects
        get = pdfium.FPDFFormObj_GetObject if is_form else pdfium.FPDFPage_GetObject
        for position in range(count(container)):
            looked_at += 1
            if looked_at > OBJECTS_LOOKED_AT:
                return False
            item = get(container, position)
            kind = pdfium.FPDFPageObj_GetType(item) if item else None
            if kind == pdfium.FPDF_PAGEOBJ_IMAGE:
                return True
            if kind == pdfium.FPDF_PAGEOBJ_FORM and depth < FORM_DEPTH:
                pending.append((item, True, depth + 1))
    return False
