"""The names of queues and tasks; no other module spells them."""

from enum import StrEnum


class Queue(StrEnum):
    """The queues; each has its own workers, which scale by its work."""

    PDF = "pdf"
    OCR = "ocr"
    DEFAULT = "default"


class TaskName(StrEnum):
    """The tasks, by their names in messages."""

    PROCESS = "pdf.process"
    RECOGNIZE = "ocr.recognize"
    RECONCILE = "ledger.reconcile"
    ARCHIVE = "ledger.archive"
    EXPIRE = "ledger.expire"


ROUTES: dict[TaskName, Queue] = {
    TaskName.PROCESS: Queue.PDF,
    TaskName.RECOGNIZE: Queue.OCR,
    TaskName.RECONCILE: Queue.DEFAULT,
    TaskName.ARCHIVE: Queue.DEFAULT,
    TaskName.EXPIRE: Queue.DEFAULT,
}
"""The queue of each task's messages."""

DOCUMENT_TASKS: dict[Queue, TaskName] = {Queue.PDF: TaskName.PROCESS, Queue.OCR: TaskName.RECOGNIZE}
"""The task of a document in each queue that documents go through."""
