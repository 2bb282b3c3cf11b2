"""Whether a fleet works: one real PDF through it, and its text read back."""

import threading
import time
from io import BytesIO

import msgspec
from reportlab.pdfgen.canvas import Canvas

from app.client.submit import POLL_SECONDS, wait_for_fleet
from app.errors import FleetError
from app.ledger.ledger import Ledger
from app.ledger.message import new_id
from app.ledger.models import Document, State, Submission
from app.queues import Queue
from app.storage.layout import get_text, original_key, result_keys
from app.storage.store import ObjectStore


class Passage(msgspec.Struct, frozen=True, kw_only=True):
    """How one document got through the fleet."""

    document_id: str
    started_seconds: float
    """From its submission until a worker took it: the start of that worker too, where there was none."""
    settled_seconds: float
    """From its submission until its results were there."""


def check_fleet(timeout: float) -> Passage:
    """Send a PDF made for the purpose through the fleet and read its text from the store; nothing stays there.

    Args:
        timeout: How long all of it may take, in seconds; a worker may have to be started first.

    Raises:
        FleetError: where a server stays away, the document is not settled in time, or its text is another.
    """
    deadline = time.monotonic() + timeout
    _, ledger, store = wait_for_fleet(timeout)
    batch_id, document_id = new_id(), new_id()
    words = f"This page asks whether the fleet works: {document_id}."
    key = original_key(batch_id, document_id)
    store.put(key, _page(words))
    try:
        submission = Submission(document_id=document_id, source="check.pdf", object_key=key)
        ledger.open(batch_id, Queue.PDF, [submission])
        document = _settled(ledger, document_id, deadline)
        if document.state is not State.SUCCEEDED:
            raise FleetError(
                f"The document ended as {document.state}: {document.message} ({document.error})."
            )
        _compare(store, document, words)
    finally:
        for made in (key, *result_keys(key).values()):
            store.delete(made)
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
    pause = threading.Event()
    while True:
        document = ledger.document(document_id)
        if document is None:
            raise FleetError("The ledger forgot the document: does its Redis keep what it is told?")
        if document.state.final:
            return document
        if time.monotonic() >= deadline:
            raise FleetError(
                f"The document is still {document.state} in queue {document.queue}: does a worker of it run, and may "
                "it start? (kubectl get scaledobject,pods)"
            )
        pause.wait(POLL_SECONDS / 5)


def _compare(store: ObjectStore, document: Document, words: str) -> None:
    try:
        text = "".join(get_text(store, document.results["text"]))
        thumbnail = store.get(document.results["thumbnail"])
    except (KeyError, FileNotFoundError) as error:
        raise FleetError(f"The document succeeded, but its results are not in the store: {error}") from None
    if words not in " ".join(text.split()):
        raise FleetError(f"The document's text came back as {text!r}.")
    if not thumbnail.startswith(b"\xff\xd8"):
        raise FleetError("The document's thumbnail is no JPEG.")
