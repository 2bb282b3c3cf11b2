"""Access to a PDF through PDFium: the document, its pages, metadata and images.

It calls PDFium's C functions directly: the finalizers of pypdfium2's wrappers cost more than the calls, on every page.
"""

import ctypes
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# Importing pypdfium2 itself loads and initialises the library that `raw` calls.
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
"""Entries of the document information dictionary (ISO 32000-1, table 317) by our names for them."""
METADATA_CHARACTERS = 1_000
"""Length to which metadata values are cut."""
FORM_DEPTH = 15
MAX_OBJECTS = 10_000
"""Most page objects that the search for an image visits: hostile files nest forms exponentially."""

_CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_METADATA_BUFFER_BYTES = 2 * (METADATA_CHARACTERS + 1)


class PageError(Exception):
    """One page cannot be read; the message says why. The other pages are not affected."""


@contextmanager
def open_pdf(data: bytes, password: str | None = None) -> Iterator[Any]:
    """Open a PDF and yield PDFium's handle of it.

    Raises:
        PasswordRequiredError: the document is encrypted and the password is missing or wrong.
        UnsupportedSecurityError: PDFium does not know the encryption scheme.
        MalformedError: the document is damaged, or has no pages.
        NotADocumentError: PDFium cannot open it, and it has no PDF header either.
    """
    secret = None if password is None else password.encode("utf-8", "ignore")
    document = pdfium.FPDF_LoadMemDocument64(data, len(data), secret)
    if not document:
        # Only valid directly after a failure: a successful call does not reset it.
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
        PageError: PDFium cannot load the page.
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
        MalformedError: there are none.
    """
    count = int(pdfium.FPDF_GetPageCount(document))
    if count < 1:
        raise MalformedError("The document has no pages: ask for a new copy.")
    return count


def page_size(page: Any) -> tuple[float, float]:
    """Return width and height in points as displayed (after rotation); 0 in place of a value that is not finite."""
    width = float(pdfium.FPDF_GetPageWidthF(page))
    height = float(pdfium.FPDF_GetPageHeightF(page))
    return (width if math.isfinite(width) else 0.0, height if math.isfinite(height) else 0.0)


def is_encrypted(document: Any) -> bool:
    """Return whether the document is encrypted, even if only against changes or printing."""
    return int(pdfium.FPDF_GetSecurityHandlerRevision(document)) != -1


def pdf_version(document: Any) -> str | None:
    """Return the version in the header, such as "1.7", or None if it cannot be read."""
    version = ctypes.c_int()
    if not pdfium.FPDF_GetFileVersion(document, version):
        return None
    major, minor = divmod(version.value, 10)
    return f"{major}.{minor}"


def metadata(document: Any) -> dict[str, str]:
    """Return the document's metadata under the names of `METADATA_KEYS`, without empty values.

    Dates stay as written ("D:20240131120000+01'00'"): too many of them do not follow the standard.
    """
    found: dict[str, str] = {}
    buffer = ctypes.create_string_buffer(_METADATA_BUFFER_BYTES)
    for name, key in METADATA_KEYS.items():
        size = pdfium.FPDF_GetMetaText(document, key, buffer, _METADATA_BUFFER_BYTES)
        if size <= 2:  # noqa: PLR2004  # only the terminating UTF-16 zero
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
    """Return a metadata value with control characters replaced by blanks, cut to `METADATA_CHARACTERS`."""
    return _CONTROL_CHARACTERS.sub(" ", value).strip()[:METADATA_CHARACTERS].rstrip()


def has_image(page: Any) -> bool:
    """Return whether the page contains an image, form XObjects included."""
    visited = 0
    pending: list[tuple[Any, bool, int]] = [(page, False, 0)]
    while pending:
        container, is_form, depth = pending.pop()
        count = pdfium.FPDFFormObj_CountObjects if is_form else pdfium.FPDFPage_CountObjects
        get = pdfium.FPDFFormObj_GetObject if is_form else pdfium.FPDFPage_GetObject
        for position in range(count(container)):
            visited += 1
            if visited > MAX_OBJECTS:
                return False
            item = get(container, position)
            kind = pdfium.FPDFPageObj_GetType(item) if item else None
            if kind == pdfium.FPDF_PAGEOBJ_IMAGE:
                return True
            if kind == pdfium.FPDF_PAGEOBJ_FORM and depth < FORM_DEPTH:
                pending.append((item, True, depth + 1))
    return False
