"""Check of a fleet: one small PDF, sent through it and read back."""

import time
from io import BytesIO

import msgspec
from reportlab.pdfgen.canvas import Canvas

from app.client.submit import POLL_SECONDS, wait_for_fleet
from app.documents.models import ResultKind
from app.errors import FleetError
from app.ledger.ledger import Ledger
from app.ledger.message import new_id
from app.ledger.models import Document, State, Submission
from app.queues import Queue
from app.storage.layout import get_text, original_key, result_keys
from app.storage.store import ObjectStore


class Passage(msgspec.Struct, frozen=True, kw_only=True):
    """How long one document took through the fleet."""

    document_id: str
    started_seconds: float
    """From its submission until a worker started it; includes the start of that worker if there was none."""
    settled_seconds: float
    """From its submission until it was settled."""


def check_fleet(timeout: float) -> Passage:
    """Process one small PDF on the fleet, compare its text, and delete its objects again.

    Args:
        timeout: Seconds for all of it; a worker may have to be started first.

    Raises:
        FleetError: a server does not answer, the document is not settled in time, or its text differs.
    """
    deadline = time.monotonic() + timeout
    ledger, store = wait_for_fleet(timeout)
    batch_id, document_id = new_id(), new_id()
    words = f"A page of fleet check: {document_id}."
    key = original_key(batch_id, document_id)
    store.put(key, _page(words))
    try:
        submission = Submission(document_id=document_id, source="check.pdf")
        ledger.open(batch_id, Queue.PDF, [submission], express=True)
        document = _settled(ledger, document_id, deadline)
        if document.state is not State.SUCCEEDED:
            raise FleetError(
                f"The document ended as {document.state}: {document.message} ({document.error})."
            )
        _compare(store, document, words)
    finally:
        for stored in (key, *result_keys(batch_id, document_id).values()):
            store.delete(stored)
    return Passage(
        document_id=document_id,
        started_seconds=round((document.started or document.opened) - document.opened, 3),
        settled_seconds=round((document.finished or document.opened) - document.opened, 3),
    )


def _page(words: str) -> bytes:
    buffer = BytesIO()
    canvas = Canvas(buffer, invariant=1)
    canvas.drawString(72, 720, words)
    canvas.save()
    return buffer.getvalue()


def _settled(ledger: Ledger, document_id: str, deadline: float) -> Document:
    while True:
        document = ledger.document(document_id)
        if document is None:
            raise FleetError(
                "The document is missing from the ledger: see that its Redis neither evicts nor loses keys."
            )
        if document.state.final:
            return document
        if time.monotonic() >= deadline:
            raise FleetError(
                f"The document is still {document.state} in queue {document.queue}: see that the queue has a worker "
                "(kubectl get scaledobject,pods), or raise --timeout."
            )
        time.sleep(POLL_SECONDS / 5)


def _compare(store: ObjectStore, document: Document, words: str) -> None:
    keys = result_keys(document.batch, document.document_id)
    try:
        text = "".join(get_text(store, keys[ResultKind.TEXT]))
        thumbnail = store.get(keys[ResultKind.THUMBNAIL])
    except FileNotFoundError as error:
        raise FleetError(
            f"The document succeeded, but its results are not in the store ({error}): see that this command and the "
            "workers have the same FLEET_STORE_URL."
        ) from None
    if words not in " ".join(text.split()):
        raise FleetError(f"The document succeeded, but its text is wrong: {text!r}.")
    if not thumbnail.startswith(b"\xff\xd8"):
        raise FleetError("The document succeeded, but its thumbnail is not a JPEG.")
