"""The only place where a queue or a task is named."""

from enum import StrEnum


class Queue(StrEnum):
    """The queues; each has workers of its own, which scale by its length."""

    PDF = "pdf"
    OCR = "ocr"
    DEFAULT = "default"


class TaskName(StrEnum):
    """The tasks, by the name that stands in their messages."""

    PROCESS = "pdf.process"
    RECOGNIZE = "ocr.recognize"
    RECONCILE = "ledger.reconcile"


ROUTES: dict[TaskName, Queue] = {
    TaskName.PROCESS: Queue.PDF,
    TaskName.RECOGNIZE: Queue.OCR,
    TaskName.RECONCILE: Queue.DEFAULT,
}
"""Which queue a task's messages go to."""

DOCUMENT_TASKS: dict[Queue, TaskName] = {Queue.PDF: TaskName.PROCESS, Queue.OCR: TaskName.RECOGNIZE}
"""The task by which a document passes through a queue."""


def inflight_key(queue: str, prefix: str) -> str:
    """The Redis hash that holds the queue's running work: its HLEN is what KEDA measures as in-flight."""
    return f"{prefix}inflight:{queue}"


def inflight_index_key(queue: str, prefix: str) -> str:
    """The sorted set beside `inflight_key`: each delivery tag with the time (s, epoch) it was taken."""
    return f"{prefix}inflight-index:{queue}"
