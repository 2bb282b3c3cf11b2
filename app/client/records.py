"""A document as the ledger has it, as a record of a timeline."""

from app.ledger.models import Document
from app.queues import Queue
from app.report.timeline import DocumentRecord, Stage


def document_record(document: Document, *, zero: float = 0.0) -> DocumentRecord:
    """Return what became of a document.

    Args:
        document: As the ledger has it.
        zero: What its times are counted from, in seconds since the epoch.
    """

    def at(moment: float | None) -> float | None:
        return None if moment is None else round(moment - zero, 4)

    stages = []
    if document.advanced and document.started and document.attempt_started and document.finished:
        first, last = document.started - zero, document.attempt_started - zero
        handed_on, end = document.advanced - zero, document.finished - zero
        stages = [
            Stage(queue=Queue.PDF.value, opened=document.opened - zero, started=first, finished=handed_on),
            Stage(queue=document.queue, opened=handed_on, started=last, finished=end),
        ]
    return DocumentRecord(
        id=document.document_id,
        state=document.state.value,
        opened=document.opened - zero,
        started=at(document.started),
        finished=at(document.finished),
        error=document.error,
        queue=document.queue,
        stages=stages,
    )
