"""One attempt at a document: start it, work on it, and settle, advance, retry or requeue it."""

import logging
import random
from collections.abc import Callable
from enum import StrEnum

import msgspec
from celery import Task
from celery.exceptions import Reject

from app.config import Settings
from app.errors import DocumentMissingError, PermanentError, ServerError, TransientError
from app.ledger.message import Delivery
from app.ledger.models import Advance, Document, NotStarted, Outcome, State
from app.queues import ROUTES, Queue, TaskName
from app.sandbox.sandbox import Interrupted
from app.storage.layout import original_key
from app.worker.services import Services, worker_services
from app.worker.transport import DELIVERY

logger = logging.getLogger(__name__)

Work = Callable[[Services, Document], Outcome | Advance]
"""A pass over a started document; returns the document's outcome, or its next queue."""


class DocumentTask(Task):  # type: ignore[misc]  # Celery carries no types
    """A task on one document: it acknowledges late, stores no Celery result, and counts attempts in the ledger."""

    abstract = True
    acks_late = True
    reject_on_worker_lost = True
    ignore_result = True

    def attend(self, document_id: str, work: Work) -> None:
        """Make one attempt at a document.

        Raises:
            celery.exceptions.Reject: to requeue the message.
        """
        delivery = (self.request.properties or {}).get(DELIVERY)
        try:
            attend(worker_services(), document_id, ROUTES[TaskName(self.name)], work, delivery=delivery)
        except ServerError as error:
            # Nothing can be recorded now: the message, or later the reconciler, brings the document back.
            raise Reject(error.message, requeue=True) from None


class Action(StrEnum):
    """The consequence of an error for a document."""

    FAIL = "fail"
    QUARANTINE = "quarantine"
    RETRY = "retry"
    REQUEUE = "requeue"
    """Requeue its message at once, because this worker shuts down."""
    LEAVE = "leave"
    """Record nothing, because the ledger is away."""


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """An action, and what it records about the error."""

    action: Action
    code: str = ""
    message: str = ""
    refund: bool = True
    """Whether the attempt does not count, if the action is to retry or to requeue."""


def decide(error: Exception, *, retries: int, max_retries: int) -> Decision:
    """Return the consequence of an error for the document whose attempt it ended.

    Args:
        error: Any exception of a pass.
        retries: How often the document was retried already after transient errors.
        max_retries: The limit of `retries`.
    """
    match error:
        case ServerError():
            return Decision(action=Action.LEAVE)
        case Interrupted():
            return Decision(action=Action.REQUEUE, code="interrupted", message="The worker was shut down.")
        case PermanentError():
            return Decision(action=Action.FAIL, code=error.code, message=error.message)
        case TransientError():
            action = Action.RETRY if retries < max_retries else Action.QUARANTINE
            return Decision(action=action, code=error.code, message=error.message)
        case _:
            # An unexpected error counts as an attempt, so that its document ends in the quarantine and not in a loop.
            reason = f"{type(error).__name__}: {error}"
            return Decision(action=Action.RETRY, code="internal_error", message=reason, refund=False)


def attend(
    services: Services, document_id: str, queue: Queue, work: Work, *, delivery: Delivery | None = None
) -> None:
    """Make one attempt at a document: start it, do `work`, and record the end in the ledger.

    Args:
        services: The ledger, the store and the sandbox.
        document_id: The document.
        queue: The queue that its message came from.
        work: The pass.
        delivery: The message's delivery.

    Raises:
        ServerError: the ledger stays away.
    """
    ledger = services.ledger
    document = ledger.start(document_id, queue=queue, worker=services.worker, delivery=delivery)
    if isinstance(document, NotStarted):
        if document is NotStarted.EXHAUSTED:
            _quarantine_exhausted(services, document_id)
        logger.info("document %s: not started, it is %s", document_id, document)
        return
    with services.working_on(document_id):
        try:
            end = work(services, document)
        except Exception as error:
            decision = decide(error, retries=document.retries, max_retries=services.config.max_retries)
            if decision.action is Action.LEAVE:
                raise
            if not decision.refund:
                logger.exception("document %s: %s", document_id, decision.message)
            _carry_out(services, document, decision)
        else:
            if isinstance(end, Advance):
                ledger.advance(document, end)
            else:
                ledger.settle(document, end, token=f"{services.worker}/{document.attempts}")


def _carry_out(services: Services, document: Document, decision: Decision) -> None:
    """Record the consequence of an error."""
    ledger, code, message = services.ledger, decision.code, decision.message
    match decision.action:
        case Action.FAIL | Action.QUARANTINE:
            state = State.FAILED if decision.action is Action.FAIL else State.QUARANTINED
            outcome = Outcome(state=state, error=code, message=message)
            ledger.settle(document, outcome, token=f"{services.worker}/{document.attempts}")
        case Action.RETRY:
            pause = backoff_seconds(services.config, document.retries)
            ledger.defer(document, code=code, message=message, pause=pause, refund=decision.refund)
        case _:
            ledger.requeue(document, code=code, message=message, refund=decision.refund)


def _quarantine_exhausted(services: Services, document_id: str) -> None:
    document = services.ledger.document(document_id)
    if document is None:
        return
    code = document.last_error or "worker_lost"
    reason = document.last_message or "Each time, the worker that read it died."
    message = (
        f"It was started {document.attempts} times and never finished. {reason} "
        f"For its record, run `fleet quarantine show {document_id}`."
    )
    outcome = Outcome(state=State.QUARANTINED, error=code, message=message)
    services.ledger.settle(document, outcome, token=f"{services.worker}/exhausted")


def backoff_seconds(config: Settings, retries: int) -> float:
    """Return the pause in seconds before retry number `retries` + 1: exponential, with jitter over its upper half.

    Source: "equal jitter" in "Exponential Backoff And Jitter", AWS Architecture Blog: no retry comes at once.
    """
    ceiling = min(config.retry_backoff_max_seconds, config.retry_backoff_seconds * 2.0**retries)
    return ceiling * random.uniform(0.5, 1.0)  # noqa: S311  # spreads load, guards nothing


def original(services: Services, document: Document) -> bytes:
    """Return the bytes of a document.

    Raises:
        DocumentMissingError: the original was deleted before its turn.
        StorageError: the store does not answer.
    """
    try:
        return services.store.get(original_key(document.batch, document.document_id))
    except FileNotFoundError:
        raise DocumentMissingError from None
