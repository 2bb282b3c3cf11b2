"""The words of the domain: a document's limits, its pages and what was read from it."""

from enum import StrEnum

import msgspec


class MediaType(StrEnum):
    """What a document can be, by the IANA name that stands in its first bytes' stead."""

    PDF = "application/pdf"
    JPEG = "image/jpeg"
    PNG = "image/png"
    TIFF = "image/tiff"
    WEBP = "image/webp"


class OcrMode(StrEnum):
    """When pages are recognised: `auto` where a page has an image and no text, or never, or every page."""

    AUTO = "auto"
    NEVER = "never"
    ALWAYS = "always"


class Page(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One page: its number (from 1), its size in points, and what was found on it."""

    number: int
    width: float = 0.0
    height: float = 0.0
    characters: int = 0
    """Characters of the text layer."""
    has_image: bool = False
    needs_ocr: bool = False
    ocr_characters: int | None = None
    """Characters that OCR found; None where the page was not recognised."""
    error: str | None = None
    """Why the page, or its recognition, could not be done; the rest of the document goes on."""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What a document says about itself; becomes `document.json`."""

    media_type: MediaType
    bytes: int
    pages: list[Page]
    page_count: int
    unreadable_pages: list[int]
    characters: int
    """Characters of the text layer over all pages; what OCR adds is counted in `ocr_characters`."""
    ocr_characters: int = 0
    ocr_pages: list[int] = []
    encrypted: bool = False
    pdf_version: str | None = None
    metadata: dict[str, str] = {}
    thumbnail_error: str | None = None

    @property
    def pages_needing_ocr(self) -> list[int]:
        """Numbers of the pages that have yet to be recognised."""
        return [page.number for page in self.pages if page.needs_ocr and page.ocr_characters is None]


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What one pass over a document gives."""

    facts: Facts
    texts: list[str]
    """Text of each page, in order; empty where there is none."""
    thumbnail: bytes | None
    """JPEG of page 1, longest side `Limits.thumbnail_pixels`; None where page 1 cannot be rendered."""


class Recognition(msgspec.Struct, frozen=True, kw_only=True):
    """The text that OCR found on one page, or why it found none."""

    number: int
    text: str = ""
    error: str | None = None
    seconds: float = 0.0
