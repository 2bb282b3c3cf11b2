"""Conversion of a ledger's document to a timeline's record."""

from app.ledger.models import Document
from app.queues import Queue
from app.report.timeline import DocumentRecord, Stage


def document_record(document: Document, *, zero: float = 0.0) -> DocumentRecord:
    """Return the record of a document.

    Args:
        document: The ledger's document.
        zero: The start of the timeline, in seconds since the epoch; the record's times are relative to it.
    """

    def at(moment: float | None) -> float | None:
        return None if moment is None else round(moment - zero, 4)

    stages = []
    if document.advanced and document.started and document.attempt_started and document.finished:
        first, last = document.started - zero, document.attempt_started - zero
        forwarded, end = document.advanced - zero, document.finished - zero
        stages = [
            Stage(queue=Queue.PDF.value, opened=document.opened - zero, started=first, finished=forwarded),
            Stage(queue=document.queue, opened=forwarded, started=last, finished=end),
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
