"""The messages of documents in the queues and the in-flight hashes: Celery's protocol 2 in kombu's envelope.

Any ordinary Celery worker understands them. Source of the format: Celery's "Message Protocol" page. Only this module
knows the envelope; the transport, the reconciler and the ledger's steps use its functions.
"""

import os
import re
import socket
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from uuid import NAMESPACE_OID, uuid4, uuid5

import msgspec

from app.queues import DOCUMENT_TASKS, Queue

_ID_MARK = "@document-id@"
_TAG_MARK = "@delivery-tag@"
_BODY_MARK = "@body@"
_EMBED = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
_TASK_ID = re.compile(r'"id": ?"([^"]+)"')


def new_id() -> str:
    """Return a random UUID as text: the id of a document, a batch or a delivery."""
    return str(uuid4())


def derived_id(batch_id: str, name: str) -> str:
    """Return the id of the document called `name` in a batch; the same arguments give the same id."""
    return str(uuid5(NAMESPACE_OID, f"{batch_id}/{name}"))


@dataclass
class Delivery:
    """One delivery of a message to a worker.

    The transport's QoS creates it and keeps it until the message is acknowledged or requeued. The task passes it to the
    ledger, which sets `recorded` and `acknowledged`.
    """

    tag: str
    entry: bytes
    """The message as the in-flight hash holds it."""
    recorded: bool = False
    """Whether the in-flight hash holds it."""
    acknowledged: bool = False
    """Whether the ledger removed it from the in-flight hash when it settled or advanced the document."""


def message(document_id: str, queue: Queue) -> str:
    """Return a new message that sends a document through `queue`; its task id is the document's id."""
    body = b64encode(msgspec.json.encode(([document_id], {}, _EMBED))).decode()
    made = _template(queue).replace(_ID_MARK, document_id)
    return made.replace(_TAG_MARK, new_id()).replace(_BODY_MARK, body)


def document_id_of(raw: str) -> str | None:
    """Return the document id in a message or an in-flight entry, without decoding it; None if there is none."""
    found = _TASK_ID.search(raw)
    return found[1] if found else None


def inflight_entry(message: Mapping[str, Any], exchange: str, routing_key: str) -> bytes:
    """Return a message as kombu writes it to the in-flight hash."""
    return msgspec.json.encode([message, exchange, routing_key])


def redelivered(entry: str) -> str:
    """Return the message of an in-flight entry with the marks that kombu sets when it restores one."""
    message = msgspec.json.decode(entry)[0]
    message["headers"]["redelivered"] = True
    message["properties"]["delivery_info"]["redelivered"] = True
    return msgspec.json.encode(message).decode()


@lru_cache(maxsize=8)
def _template(queue: Queue) -> str:
    """Return a message with a mark in each place that differs between messages.

    Celery itself makes the headers, so that workers of the same version understand them.
    """
    # Imported late: Celery takes 0.2 s, and many processes send nothing.
    from celery import Celery  # noqa: PLC0415
    from celery.app.amqp import AMQP  # noqa: PLC0415

    maker = AMQP(Celery("pdf-fleet", set_as_current=False))
    task = maker.as_task_v2(
        _ID_MARK, DOCUMENT_TASKS[queue].value, args=(_ID_MARK,), kwargs={}, ignore_result=True,
        origin=f"{os.getpid()}@{socket.gethostname()}",
    )  # fmt: skip
    content = {
        "body": _BODY_MARK,
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": task.headers,
        "properties": {
            **task.properties,
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": queue.value},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": _TAG_MARK,
        },
    }
    return msgspec.json.encode(content).decode()
