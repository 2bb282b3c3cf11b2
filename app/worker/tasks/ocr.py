"""`ocr.recognize`: the text of the pages that have none of their own."""

import time

import msgspec

from app.config import settings
from app.documents.models import Facts, Page, Recognition
from app.errors import MalformedError, PermanentError
from app.ledger.models import Document, Outcome, State
from app.queues import Queue, TaskName
from app.storage.layout import get_facts, get_text, put_facts, put_text, result_keys, summary_json
from app.worker.attempt import DocumentTask, original
from app.worker.celery_app import app
from app.worker.services import Services


class _OutOfTimeError(Exception):
    """What remains of a document is left: other documents wait."""


def recognize_document(on: Services, document: Document) -> Outcome:
    """Recognise a document's pages in the sandbox and put their text where it belongs.

    A page that cannot be recognised is listed with its reason; the document has succeeded all the same, as
    its first pass was good.

    Raises:
        PermanentError: where the original is gone.
        TransientError: of the surroundings.
    """
    keys = result_keys(document.object)
    facts = get_facts(on.store, keys["document"])
    texts = get_text(on.store, keys["text"])
    wanted = facts.pages_needing_ocr
    pages = wanted[: on.config.ocr_max_pages]
    found = {
        number: Recognition(
            number=number, error=f"Only {on.config.ocr_max_pages} pages a document are recognised."
        )
        for number in wanted[len(pages) :]
    }
    data = original(on, document)
    deadline = time.monotonic() + on.config.soft_limit_seconds

    def note(recognition: Recognition) -> None:
        found[recognition.number] = recognition
        if time.monotonic() > deadline:
            raise _OutOfTimeError

    reason = f"The time for OCR ({on.config.soft_limit_seconds:g} s) was used up."
    try:
        on.sandbox.recognize(
            data, pages, media_type=facts.media_type, password=document.options.password, on_page=note
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
    put_text(on.store, keys["text"], texts)
    put_facts(on.store, keys["document"], facts)
    return Outcome(state=State.SUCCEEDED, summary=summary_json(facts), results=document.results)


def with_recognitions(facts: Facts, found: dict[int, Recognition]) -> Facts:
    """Return `facts` with what OCR found (by page number) written into its pages and sums.

    Raises:
        MalformedError: where a page was recognised that the document does not have.
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


@app.task(
    name=TaskName.RECOGNIZE.value,
    bind=True,
    base=DocumentTask,
    acks_late=True,
    reject_on_worker_lost=True,
    ignore_result=True,
    soft_time_limit=settings().soft_limit_seconds,
    time_limit=settings().hard_limit_seconds,
)
def recognize(self: DocumentTask, document_id: str) -> None:
    """Recognise the pages of one document."""
    self.attend(document_id, Queue.OCR, recognize_document)
