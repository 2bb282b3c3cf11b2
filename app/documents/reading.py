"""Reading of a document in one pass: its facts, the text of its pages and a thumbnail."""

from typing import Any

import msgspec

from app.documents import images, pdf
from app.documents.limits import Limits, check_bytes
from app.documents.media import sniff
from app.documents.models import Facts, MediaType, OcrMode, Page, Reading
from app.documents.pdf import PageError
from app.documents.text import TextReader
from app.documents.thumbnail import pdf_thumbnail
from app.errors import MalformedError, PageUnreadableError, ResourceLimitError, TooManyPagesError


class _PageResults(msgspec.Struct):
    """Results of the pages read so far."""

    pages: list[Page] = []
    texts: list[str] = []
    errors: list[PageError] = []
    thumbnail: bytes | None = None
    thumbnail_error: str | None = None

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

    A page that cannot be read has the reason in `Page.error`; the other pages are not affected.

    Args:
        data: The document's bytes.
        limits: Limits on the document; only the sandbox enforces those on memory and time.
        password: Opens an encrypted PDF.
        ocr: Which pages to mark for OCR; images are marked only if it is `always`.

    Raises:
        PermanentError: the document cannot be read; the subclass tells why.
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
                f"The document has {count} pages; the limit is {limits.pages}: split it, "
                "or raise FLEET_MAX_PAGES."
            )
        results = _PageResults()
        reader = TextReader(limits.text_characters)
        for index in range(count):
            try:
                with pdf.open_page(document, index) as page:
                    _read_page(page, index + 1, results, reader, limits=limits, ocr=ocr)
            except PageError as error:
                results.fail(index + 1, error)
        if results.all_unreadable:
            raise PageUnreadableError
        return results.reading(
            MediaType.PDF,
            data,
            encrypted=pdf.is_encrypted(document),
            pdf_version=pdf.pdf_version(document),
            metadata=pdf.metadata(document),
        )


def _read_page(
    page: Any, number: int, results: _PageResults, reader: TextReader, *, limits: Limits, ocr: OcrMode
) -> None:
    width, height = pdf.page_size(page)
    found = reader.read(page)
    # The search for an image is expensive, so only pages without text are searched.
    image = not found.text.strip() and pdf.has_image(page)
    results.pages.append(
        Page(
            number=number,
            width=width,
            height=height,
            characters=found.characters,
            has_image=image,
            needs_ocr=ocr is OcrMode.ALWAYS or (image and ocr is OcrMode.AUTO),
        )
    )
    results.texts.append(found.text)
    if number == 1:
        try:
            results.thumbnail = pdf_thumbnail(page, width, height, limits=limits)
        except PageError as error:
            results.thumbnail_error = str(error)


def _read_image(data: bytes, media_type: MediaType, *, limits: Limits, ocr: OcrMode) -> Reading:
    results = _PageResults()
    with images.open_image(data, media_type, limits=limits) as image:
        for number in images.frames(image, media_type, limits=limits):
            try:
                page = images.measure(image, number, limits=limits)
                if number == 1:
                    results.thumbnail = images.image_thumbnail(image, limits=limits)
                results.pages.append(msgspec.structs.replace(page, needs_ocr=ocr is OcrMode.ALWAYS))
                results.texts.append("")
            except PageError as error:
                results.fail(number, error)
    if results.all_unreadable:
        first = results.errors[0]
        if isinstance(first, images.ImageTooLargeError):
            raise ResourceLimitError(str(first))
        raise MalformedError(f"{first} Ask for a new copy.")
    return results.reading(media_type, data)
