"""A document's message: Celery's protocol 2 in kombu's envelope.

Any ordinary Celery worker understands it. Source of the format: Celery's "Message Protocol" page. This module alone
knows the envelope; the transport, the reconciler and the ledger's steps take it from here.
"""

import os
import re
import socket
from dataclasses import dataclass
from functools import lru_cache
from uuid import NAMESPACE_OID, uuid4, uuid5

import msgspec

from app.queues import DOCUMENT_TASKS, Queue

_CUT = "\x01"
_EMBED = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
_ID_MARK = "@document-id@"
_TASK = re.compile(r'"task": ?"([^"]+)"')
_TASK_ID = re.compile(r'"id": ?"([^"]+)"')


def new_id() -> str:
    """Return a random UUID as text: the id of a document or a batch."""
    return str(uuid4())


def derived_id(batch_id: str, name: str) -> str:
    """Return the id of the document called `name` in a batch; the same arguments give the same id."""
    return str(uuid5(NAMESPACE_OID, f"{batch_id}/{name}"))


@dataclass
class Delivery:
    """One delivery of a message to a worker.

    The transport's QoS makes it and keeps it until the message is acknowledged or requeued; the task passes it to the
    ledger, whose step `start` sets the mark.
    """

    message: bytes
    """The message as it lay in the queue and lies in the worker's list."""
    worker: str
    """The worker's name in the ledger."""
    taken: str
    """Key of the worker's list."""
    started: bool = False
    """Whether the ledger removed it from the worker's list when its document was started."""


def document_id_of(raw: str) -> str | None:
    """Return the document id in a message, without decoding it; None if there is none."""
    found = _TASK_ID.search(raw)
    return found[1] if found else None


def task_of(raw: str) -> str | None:
    """Return the name of the task in a message, without decoding it; None if there is none."""
    found = _TASK.search(raw)
    return found[1] if found else None


def redelivered(raw: str | bytes) -> str:
    """Return a message with the marks that kombu sets when it restores one."""
    message = msgspec.json.decode(raw)
    message["headers"]["redelivered"] = True
    message["properties"]["delivery_info"]["redelivered"] = True
    return msgspec.json.encode(message).decode()


@lru_cache(maxsize=8)
def template(queue: Queue) -> str:
    """Return the message of `queue` with the character U+0001 wherever the document's id stands.

    Celery itself makes the headers, so that they are what workers of this version expect.
    """
    # A process that sends nothing does without Celery, which takes 0.2 s to import.
    from celery import Celery  # noqa: PLC0415
    from celery.app.amqp import AMQP  # noqa: PLC0415

    maker = AMQP(Celery("pdf-fleet", set_as_current=False))
    task = maker.as_task_v2(
        _ID_MARK, DOCUMENT_TASKS[queue].value, args=(_ID_MARK,), kwargs={}, ignore_result=True,
        origin=f"{os.getpid()}@{socket.gethostname()}",
    )  # fmt: skip
    content = {
        "body": msgspec.json.encode(([_ID_MARK], {}, _EMBED)).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": task.headers,
        "properties": {
            **task.properties,
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": queue.value},
            "priority": 0,
            # The body is text, not base64: the server puts the id into it.
            "body_encoding": "utf-8",
            "delivery_tag": _ID_MARK,
        },
    }
    return msgspec.json.encode(content).decode().replace(_ID_MARK, _CUT)
