"""`pdf.process`: the first pass over every document: facts, text, thumbnail."""

from app.documents.models import ResultKind
from app.ledger.models import Advance, Document, Outcome, State
from app.queues import Queue, TaskName
from app.storage.layout import put_facts, put_text, result_keys, summary_json
from app.worker.attempt import DocumentTask, original
from app.worker.celery_app import app
from app.worker.services import Services


@app.task(name=TaskName.PROCESS.value, base=DocumentTask, bind=True)
def process(self: DocumentTask, document_id: str) -> None:
    """Process one document."""
    self.attend(document_id, process_document)


def process_document(services: Services, document: Document) -> Outcome | Advance:
    """Read a document in the sandbox and store its text, thumbnail and facts.

    Returns:
        The document's outcome, or its next queue `ocr` if pages need OCR.

    Raises:
        PermanentError: the document is at fault.
        TransientError: the store or the sandbox is unavailable.
    """
    data = original(services, document)
    options = document.options
    reading = services.sandbox.read(data, password=options.password, ocr=options.ocr)
    keys = result_keys(document.batch, document.document_id)
    put_text(services.store, keys[ResultKind.TEXT], reading.texts)
    if reading.thumbnail is None:
        del keys[ResultKind.THUMBNAIL]
    else:
        services.store.put(keys[ResultKind.THUMBNAIL], reading.thumbnail)
    put_facts(services.store, keys[ResultKind.DOCUMENT], reading.facts)
    summary = summary_json(reading.facts)
    if reading.facts.pages_needing_ocr:
        return Advance(queue=Queue.OCR, summary=summary, results=tuple(keys))
    return Outcome(state=State.SUCCEEDED, summary=summary, results=tuple(keys))
