"""`pdf.process`: the first pass over every document: facts, text, thumbnail."""

from app.config import settings
from app.ledger.message import message
from app.ledger.models import Document, Outcome, State
from app.queues import Queue, TaskName
from app.storage.layout import put_facts, put_text, result_keys, summary_json
from app.worker.attempt import DocumentTask, original
from app.worker.celery_app import app
from app.worker.services import Services


def process_document(on: Services, document: Document) -> Outcome | None:
    """Read a document in the sandbox and store what it gives; send it on where pages need OCR.

    Returns:
        How it ended, or None where OCR goes on with it.

    Raises:
        PermanentError: of the document.
        TransientError: of the surroundings.
    """
    data = original(on, document)
    reading = on.sandbox.read(data, password=document.options.password, ocr=document.options.ocr)
    keys = result_keys(document.object)
    put_text(on.store, keys["text"], reading.texts)
    if reading.thumbnail is None:
        del keys["thumbnail"]
    else:
        on.store.put(keys["thumbnail"], reading.thumbnail)
    put_facts(on.store, keys["document"], reading.facts)
    summary = summary_json(reading.facts)
    if reading.facts.pages_needing_ocr:
        order = message(document.document_id, Queue.OCR)
        on.ledger.advance(document, Queue.OCR, order, summary=summary, results=keys)
        return None
    return Outcome(state=State.SUCCEEDED, summary=summary, results=keys)


@app.task(
    name=TaskName.PROCESS.value,
    bind=True,
    base=DocumentTask,
    acks_late=True,
    reject_on_worker_lost=True,
    ignore_result=True,
    soft_time_limit=settings().soft_limit_seconds,
    time_limit=settings().hard_limit_seconds,
)
def process(self: DocumentTask, document_id: str) -> None:
    """Take one document through its first pass."""
    self.attend(document_id, Queue.PDF, process_document)
