"""One attempt at a document: start it, work on it, and settle, advance, retry or requeue it."""

import logging
import os
import random
from collections.abc import Callable
from enum import StrEnum
from typing import assert_never

import msgspec
from celery import Task
from celery.exceptions import Reject

from app.config import Settings
from app.errors import DocumentMissingError, PermanentError, ServerError, TransientError
from app.ledger.message import Delivery
from app.ledger.models import Advance, Document, NotStarted, Outcome, State
from app.queues import ROUTES, Queue, TaskName
from app.sandbox.sandbox import Interrupted
from app.worker.services import Services, worker_services
from app.worker.transport import DELIVERY

logger = logging.getLogger(__name__)

Work = Callable[[Services, Document], Outcome | Advance]
"""A pass over a started document; returns the document's outcome, or its next queue."""


class TryAgainError(Exception):
    """The task must be retried after `countdown` seconds."""

    def __init__(self, countdown: float) -> None:
        super().__init__(f"again in {countdown:.1f} s")
        self.countdown = countdown


class DocumentTask(Task):  # type: ignore[misc]  # Celery carries no types
    """A task on one document: it acknowledges late, stores no Celery result, and counts attempts in the ledger."""

    abstract = True
    acks_late = True
    reject_on_worker_lost = True
    ignore_result = True
    # `attend` counts retries. Celery's default max_retries=3 would drop the task and leave the document unsettled.
    max_retries = None

    def attend(self, document_id: str, work: Work) -> None:
        """Make one attempt at a document.

        Raises:
            celery.exceptions.Retry: to retry after a pause.
            celery.exceptions.Reject: to requeue the message.
        """
        services = worker_services()
        services.worker = f"{self.request.hostname}/{os.getpid()}"
        delivery = (self.request.properties or {}).get(DELIVERY)
        queue = ROUTES[TaskName(self.name)]
        try:
            attend(services, document_id, queue, work, retries=self.request.retries, delivery=delivery)
        except TryAgainError as again:
            raise self.retry(countdown=again.countdown) from again.__cause__
        except Interrupted:
            raise Reject("the worker is shutting down", requeue=True) from None
        except ServerError as error:
            # Without the ledger this worker can record nothing, so it requeues the message until the server is back.
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
    """Decide what happens to a document after the error that ended an attempt.

    Args:
        error: Any exception of a pass.
        retries: Number of retries of this message so far.
        max_retries: Number of retries of one message that transient errors may cause.
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
    services: Services,
    document_id: str,
    queue: Queue,
    work: Work,
    *,
    retries: int = 0,
    delivery: Delivery | None = None,
) -> None:
    """Make one attempt at a document: start it, do `work`, and record the result.

    Args:
        services: The services of this worker.
        document_id: The document.
        queue: The queue that its message came from.
        work: The pass.
        retries: Number of retries of this message so far.
        delivery: The message's delivery; the step that settles or advances the document acknowledges it.

    Raises:
        TryAgainError: the task must be retried.
        Interrupted: the worker's grace ended; the attempt does not count.
        ServerError: the ledger does not answer.
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
            decision = decide(error, retries=retries, max_retries=services.config.max_retries)
            end = _carry_out(services, document, decision, error, retries=retries)
        if isinstance(end, Advance):
            ledger.advance(document, end, delivery=delivery)
        else:
            token = f"{services.worker}/{document.attempts}"
            ledger.settle(document, end, token=token, delivery=delivery)


def _carry_out(
    services: Services, document: Document, decision: Decision, error: Exception, *, retries: int
) -> Outcome:
    """Return the outcome of a decision, or release the document and raise what retries or requeues its message."""
    code, message = decision.code, decision.message
    match decision.action:
        case Action.FAIL:
            return Outcome(state=State.FAILED, error=code, message=message)
        case Action.QUARANTINE:
            return Outcome(state=State.QUARANTINED, error=code, message=message)
        case Action.LEAVE:
            raise error
        case Action.REQUEUE | Action.RETRY:
            if not decision.refund:
                logger.error("document %s: %s", document.document_id, message, exc_info=error)
            services.ledger.release(document, code=code, message=message, refund=decision.refund)
            if decision.action is Action.REQUEUE:
                raise error
            raise TryAgainError(backoff_seconds(services.config, retries)) from error
        case never:
            assert_never(never)


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
        return services.store.get(document.object)
    except FileNotFoundError:
        raise DocumentMissingError from None
