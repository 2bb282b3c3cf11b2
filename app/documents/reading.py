"""One pass over a document: what it is, its text, its thumbnail."""

from typing import Any

import msgspec

from app.documents import pdf
from app.documents.limits import Limits, check_bytes
from app.documents.media import sniff
from app.documents.models import Facts, MediaType, OcrMode, Page, Reading
from app.documents.pdf import PageError
from app.documents.text import TextReader
from app.documents.thumbnail import pdf_thumbnail
from app.errors import (
    MalformedError,
    PageUnreadableError,
    ResourceLimitError,
    TooManyPagesError,
)


class _Gathered:
    """What the pages gave so far."""

    def __init__(self) -> None:
        self.pages: list[Page] = []
        self.texts: list[str] = []
        self.errors: list[PageError] = []
        self.thumbnail: bytes | None = None
        self.thumbnail_error: str | None = None

    def fail(self, number: int, error: PageError) -> None:
        self.pages.append(Page(number=number, error=str(error)))
        self.texts.append("")
        self.errors.append(error)
        if number == 1:
            self.thumbnail_error = str(error)

    def reading(self, media_type: MediaType, data: bytes, **facts: Any) -> Reading:
        return Reading(
            facts=Facts(
                media_type=media_type,
                bytes=len(data),
                pages=self.pages,
                page_count=len(self.pages),
                unreadable_pages=[page.number for page in self.pages if page.error is not None],
                characters=sum(page.characters for page in self.pages),
                thumbnail_error=self.thumbnail_error,
                **facts,
            ),
            texts=self.texts,
            thumbnail=self.thumbnail,
        )

    @property
    def all_unreadable(self) -> bool:
        return len(self.errors) == len(self.pages)


def read(data: bytes, *, limits: Limits, password: str | None = None, ocr: OcrMode = OcrMode.AUTO) -> Reading:
    """Read a document: its facts, the text of each page, and a thumbnail of the first.

    A page that cannot be read is listed with the reason, and the rest goes on.

    Args:
        data: The document's bytes.
        limits: What it may cost; memory and time are the sandbox's to limit, the rest is kept here.
        password: Opens an encrypted PDF.
        ocr: Which pages are marked to be recognised. Images are only on `always`.

    Raises:
        PermanentError: of the kind that tells what is wrong with the document.
    """
    check_bytes(data, limits=limits)
    media_type = sniff(data)
    if media_type is None or media_type is MediaType.PDF:
        return _read_pdf(data, limits=limits, password=password, ocr=ocr)
    return _read_image(data, media_type, limits=limits, ocr=ocr)


def _read_pdf(data: bytes, *, limits: Limits, password: str | None, ocr: OcrMode) -> Reading:
    with pdf.open_pdf(data, password) as document:
        count = pdf.page_count(document)
        if count > limits.pages:
            raise TooManyPagesError(
                f"The document has {count} pages, and {limits.pages} are allowed: split it, "
                "or raise FLEET_MAX_PAGES."
            )
        gathered = _Gathered()
        reader = TextReader(limits.text_characters)
        for index in range(count):
            try:
                with pdf.open_page(document, index) as page:
                    _read_page(page, index + 1, gathered, reader, limits=limits, ocr=ocr)
            except PageError as error:
                gathered.fail(index + 1, error)
        if gathered.all_unreadable:
            raise PageUnreadableError
        return gathered.reading(
            MediaType.PDF,
            data,
            encrypted=pdf.is_encrypted(document),
            pdf_version=pdf.pdf_version(document),
            metadata=pdf.metadata(document),
        )


def _read_page(
    page: Any, number: int, gathered: _Gathered, reader: TextReader, *, limits: Limits, ocr: OcrMode
) -> None:
    width, height = pdf.page_size(page)
    found = reader.read(page)
    # Looking for an image costs: only a page without text is asked.
    image = not found.text.strip() and pdf.has_image(page)
    gathered.pages.append(
        Page(
            number=number,
            width=width,
            height=height,
            characters=found.characters,
            has_image=image,
            needs_ocr=ocr is OcrMode.ALWAYS or (image and ocr is OcrMode.AUTO),
        )
    )
    gathered.texts.append(found.text)
    if number == 1:
        try:
            gathered.thumbnail = pdf_thumbnail(page, width, height, limits=limits)
        except PageError as error:
            gathered.thumbnail_error = str(error)


def _read_image(data: bytes, media_type: MediaType, *, limits: Limits, ocr: OcrMode) -> Reading:
    from app.documents import images  # noqa: PLC0415  # brings Pillow, which a PDF needs only for its thumbnail

    gathered = _Gathered()
    with images.open_image(data, media_type, limits=limits) as image:
        for number in images.frames(image, media_type, limits=limits):
            try:
                page = images.measure(image, number, limits=limits)
                if number == 1:
                    gathered.thumbnail = images.image_thumbnail(image, limits=limits)
                gathered.pages.append(msgspec.structs.replace(page, needs_ocr=ocr is OcrMode.ALWAYS))
                gathered.texts.append("")
            except PageError as error:
                gathered.fail(number, error)
    if gathered.all_unreadable:
        first = gathered.errors[0]
        if isinstance(first, images.ImageTooLargeError):
            raise ResourceLimitError(str(first))
        raise MalformedError(f"{first} Ask for a new copy.")
    return gathered.reading(media_type, data)
