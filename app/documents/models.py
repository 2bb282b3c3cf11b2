"""Types for a document's media type, its pages, and the results of reading and recognising them."""

from enum import StrEnum

import msgspec


class MediaType(StrEnum):
    """Supported media types by IANA name; `media.sniff` detects them from the first bytes."""

    PDF = "application/pdf"
    JPEG = "image/jpeg"
    PNG = "image/png"
    TIFF = "image/tiff"
    WEBP = "image/webp"


class OcrMode(StrEnum):
    """Which pages OCR recognises: `auto` those with an image and no text, `never` none, `always` all."""

    AUTO = "auto"
    NEVER = "never"
    ALWAYS = "always"


class ResultKind(StrEnum):
    """What is stored of a document that was processed."""

    TEXT = "text"
    THUMBNAIL = "thumbnail"
    DOCUMENT = "document"
    """Its facts."""


class Page(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Facts about one page: its number (from 1), its size in points, its text and its error."""

    number: int
    width: float = 0.0
    height: float = 0.0
    characters: int = 0
    """Characters of the text layer."""
    has_image: bool = False
    needs_ocr: bool = False
    ocr_characters: int | None = None
    """Characters that OCR found; None if the page was not recognised."""
    error: str | None = None
    """Reason why the page could not be read or recognised; the other pages are not affected."""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """Facts about a document and its pages; stored as `document.json`."""

    media_type: MediaType
    bytes: int
    pages: list[Page]
    page_count: int
    unreadable_pages: list[int]
    characters: int
    """Characters of the text layer over all pages; `ocr_characters` counts those that OCR found."""
    ocr_characters: int = 0
    ocr_pages: list[int] = []
    encrypted: bool = False
    pdf_version: str | None = None
    metadata: dict[str, str] = {}
    thumbnail_error: str | None = None

    @property
    def pages_needing_ocr(self) -> list[int]:
        """Numbers of the pages still to be recognised."""
        return [page.number for page in self.pages if page.needs_ocr and page.ocr_characters is None]


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """Results of reading one document: facts, texts and thumbnail."""

    facts: Facts
    texts: list[str]
    """Text of each page, in order; empty for a page without any."""
    thumbnail: bytes | None
    """JPEG of page 1, longest side `Limits.thumbnail_pixels`; None if page 1 cannot be rendered."""


class Recognition(msgspec.Struct, frozen=True, kw_only=True):
    """Result of OCR on one page: its text, or the error that prevented it."""

    number: int
    text: str = ""
    error: str | None = None
    seconds: float = 0.0
