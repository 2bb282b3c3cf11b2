"""`ocr.recognize`: the second pass, over documents with pages that are only a picture."""

import time

import msgspec

from app.documents.models import Facts, Page, Recognition, ResultKind
from app.errors import MalformedError, PermanentError
from app.ledger.models import Document, Outcome, State
from app.queues import TaskName
from app.storage.layout import get_facts, get_text, put_facts, put_text, result_keys, summary_json
from app.worker.attempt import DocumentTask, original
from app.worker.celery_app import app
from app.worker.services import Services


@app.task(name=TaskName.RECOGNIZE.value, base=DocumentTask, bind=True)
def recognize(self: DocumentTask, document_id: str) -> None:
    """Recognise the pages of one document."""
    self.attend(document_id, recognize_document)


class _OutOfTimeError(Exception):
    """The time for one document is used up, so that its remaining pages stay unrecognised."""


def recognize_document(services: Services, document: Document) -> Outcome:
    """Recognise a document's pages in the sandbox and merge their text into the stored text.

    The facts list each page that cannot be recognised with the reason; the document still succeeds.

    Raises:
        PermanentError: the original is gone.
        TransientError: the store or the sandbox is unavailable.
    """
    keys = result_keys(document.batch, document.document_id)
    facts = get_facts(services.store, keys[ResultKind.DOCUMENT])
    texts = get_text(services.store, keys[ResultKind.TEXT])
    wanted = facts.pages_needing_ocr
    pages = wanted[: services.config.ocr_max_pages]
    found = {
        number: Recognition(
            number=number, error=f"Only {services.config.ocr_max_pages} pages a document are recognised."
        )
        for number in wanted[len(pages) :]
    }
    data = original(services, document)
    deadline = time.monotonic() + services.config.soft_limit_seconds

    def record(recognition: Recognition) -> None:
        found[recognition.number] = recognition
        if time.monotonic() > deadline:
            raise _OutOfTimeError

    reason = f"The time for OCR ({services.config.soft_limit_seconds:g} s) was used up."
    try:
        services.sandbox.recognize(
            data, pages, media_type=facts.media_type, password=document.options.password, on_page=record
        )
    except _OutOfTimeError:
        pass
    except PermanentError as error:
        reason = error.message
    for number in pages:
        found.setdefault(number, Recognition(number=number, error=reason))
    facts = with_recognitions(facts, found)
    for number, recognition in found.items():
        if recognition.error is None:
            texts[number - 1] = recognition.text
    put_text(services.store, keys[ResultKind.TEXT], texts)
    put_facts(services.store, keys[ResultKind.DOCUMENT], facts)
    return Outcome(state=State.SUCCEEDED, summary=summary_json(facts), results=document.results)


def with_recognitions(facts: Facts, found: dict[int, Recognition]) -> Facts:
    """Return `facts` with the recognitions (by page number) written into its pages and sums.

    Raises:
        MalformedError: a recognition names a page that the document does not have.
    """
    if not found.keys() <= {page.number for page in facts.pages}:
        raise MalformedError
    pages: list[Page] = []
    for page in facts.pages:
        recognition = found.get(page.number)
        if recognition is None:
            pages.append(page)
        elif recognition.error is not None:
            pages.append(msgspec.structs.replace(page, error=recognition.error))
        else:
            pages.append(msgspec.structs.replace(page, ocr_characters=len(recognition.text)))
    return msgspec.structs.replace(
        facts,
        pages=pages,
        ocr_characters=sum(page.ocr_characters or 0 for page in pages),
        ocr_pages=[page.number for page in pages if page.ocr_characters is not None],
    )
