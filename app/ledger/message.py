"""The only place that puts messages on a queue: one at a time, a flood, or what was lost once more."""

import logging
import os
import socket
from base64 import b64encode
from binascii import hexlify
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING
from uuid import NAMESPACE_OID, uuid5

import msgspec

from app.config import Settings
from app.ledger.models import Submission
from app.ledger.reconcile import Findings, reconcile
from app.queues import DOCUMENT_TASKS, Queue

if TYPE_CHECKING:
    from app.ledger.ledger import Ledger

logger = logging.getLogger(__name__)
ID_MARK = "@document-id@"
TAG_MARK = "@delivery-tag@"
BODY_MARK = "@body@"


def new_id() -> str:
    """Return a random UUID's text; of documents and batches as of Celery's own tasks."""
    raw = hexlify(os.urandom(16)).decode()
    return f"{raw[:8]}-{raw[8:12]}-4{raw[13:16]}-a{raw[17:20]}-{raw[20:]}"


def derived_id(batch_id: str, name: str) -> str:
    """Return the id of the document called `name` in a batch: always the same one."""
    return str(uuid5(NAMESPACE_OID, f"{batch_id}/{name}"))


@lru_cache(maxsize=8)
def _template(queue: Queue) -> str:
    """Return a message of protocol 2 as kombu writes it to Redis, with marks where each differs.

    Celery itself makes the headers, so that they are what its own workers expect of this version.
    """
    # Here, as whoever only asks or follows sends nothing, and Celery takes a fifth of a second to import.
    from celery import Celery  # noqa: PLC0415
    from celery.app.amqp import AMQP  # noqa: PLC0415

    maker = AMQP(Celery("pdf-fleet", set_as_current=False))
    task = maker.as_task_v2(
        ID_MARK, DOCUMENT_TASKS[queue].value, args=(ID_MARK,), kwargs={}, ignore_result=True,
        origin=f"{os.getpid()}@{socket.gethostname()}",
    )  # fmt: skip
    message = {
        "body": BODY_MARK,
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": task.headers,
        "properties": {
            **task.properties,
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": queue.value},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": TAG_MARK,
        },
    }
    return msgspec.json.encode(message).decode()


@lru_cache(maxsize=1)
def _body_ends() -> tuple[str, str]:
    """Return what stands before and after the document's id in a message's body."""
    before, after = msgspec.json.encode(
        ([ID_MARK], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None})
    ).decode().split(ID_MARK)  # fmt: skip
    return before, after


def message(document_id: str, queue: Queue) -> str:
    """Return the message that sends a document through `queue`: Celery's protocol 2, JSON, task id = document id.

    Any ordinary Celery worker understands it. Source of the format: Celery's "Message Protocol" page.
    """
    before, after = _body_ends()
    body = b64encode(f"{before}{document_id}{after}".encode()).decode()
    return _template(queue).replace(ID_MARK, document_id).replace(TAG_MARK, new_id()).replace(BODY_MARK, body)


def flood(
    ledger: "Ledger",
    submissions: Iterable[Submission],
    *,
    batch_id: str,
    chunk: int,
    queue: Queue = Queue.PDF,
) -> int:
    """Open documents and send their messages, `chunk` at a time, each chunk in one atomic step.

    Args:
        ledger: Where they are opened.
        submissions: The documents; their originals must be stored already.
        batch_id: The batch they belong to.
        chunk: Documents a step.
        queue: Where they begin.

    Returns:
        How many were opened.
    """
    pairs: Iterator[tuple[Submission, str]] = (
        (submission, message(submission.document_id, queue)) for submission in submissions
    )
    return ledger.open(batch_id, queue, pairs, chunk=chunk)


def reconcile_queues(ledger: "Ledger", config: Settings) -> dict[Queue, Findings]:
    """Mend every queue that documents pass through; return what was found in each."""
    findings = {
        queue: reconcile(
            ledger,
            queue,
            message=message,
            after_seconds=config.reconcile_after_seconds,
            hold_seconds=config.retry_backoff_max_seconds,
        )
        for queue in DOCUMENT_TASKS
    }
    for queue, found in findings.items():
        if found.any:
            logger.warning("reconcile %s: %s", queue, found)
    return findings
