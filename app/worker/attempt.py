"""What all document tasks share: attempts, retries, settlement, and what happens at a shutdown."""

import logging
import os
import random
from collections.abc import Callable

from celery import Task
from celery.exceptions import Reject
from redis.exceptions import RedisError

from app.config import Settings
from app.errors import DocumentMissingError, PermanentError, TransientError
from app.ledger.models import Document, Outcome, State
from app.queues import Queue
from app.sandbox.sandbox import Interrupted
from app.worker import transport
from app.worker.services import Services, services

logger = logging.getLogger(__name__)

Work = Callable[[Services, Document], Outcome | None]
"""Works on a started document; returns how it ended, or None where it was handed on to another queue."""


class TryAgainError(Exception):
    """The task is to be retried after a pause."""

    def __init__(self, countdown: float) -> None:
        super().__init__(f"again in {countdown:.1f} s")
        self.countdown = countdown


class DocumentTask(Task):  # type: ignore[misc]  # Celery carries no types
    """A task about one document: maps what `attend` decides to Celery's words."""

    abstract = True
    # How often is `attend`'s to count: Celery's own limit of 3 would end the task and leave the document open.
    max_retries = None

    def attend(self, document_id: str, queue: Queue, work: Work) -> None:
        """Do `work` on a document under the ledger's rules.

        Raises:
            celery.exceptions.Retry: to be tried again after a pause.
            celery.exceptions.Reject: to give the message back to the queue.
        """
        on = services()
        on.worker = f"{self.request.hostname}/{os.getpid()}"
        try:
            tag = (self.request.properties or {}).get("delivery_tag", "")
            taken = transport.unnoted(tag)
            attend(on, document_id, queue, work, retries=self.request.retries, delivery_tag=tag, taken=taken)
        except TryAgainError as again:
            raise self.retry(countdown=again.countdown) from again.__cause__
        except Interrupted:
            raise Reject("the worker is shutting down", requeue=True) from None
        except RedisError as error:
            # Nothing can be noted without the ledger: the message stays, and is taken again when it is back.
            raise Reject(f"the ledger cannot be reached: {error}", requeue=True) from None


def attend(
    on: Services,
    document_id: str,
    queue: Queue,
    work: Work,
    *,
    retries: int,
    delivery_tag: str = "",
    taken: bytes = b"",
) -> None:
    """Start, work on and settle a document; what goes wrong becomes its outcome or a `TryAgainError`.

    Args:
        on: What to work with.
        document_id: The document.
        queue: The queue that its message came from.
        work: What is to be done.
        retries: How often this message was retried already.
        delivery_tag: The message's: it is acknowledged in the step that settles the document or hands it on.
        taken: The message itself, where it is yet to be noted as in flight: that is done as the document starts.

    Raises:
        TryAgainError: after a transient error, while tries are left.
        Interrupted: when the worker's grace ended; the attempt does not count.
        RedisError: when the ledger stays away.
    """
    document = on.ledger.start(
        document_id, queue=queue, worker=on.worker, delivery_tag=delivery_tag, taken=taken
    )
    if document == "exhausted":
        _quarantine_exhausted(on, document_id)
    if not isinstance(document, Document):
        logger.info("document %s: not started, it is %s", document_id, document)
        return
    token = f"{on.worker}/{document.attempts}"
    with on.holding(document_id):
        try:
            outcome = work(on, document)
        except Interrupted:
            on.ledger.release(document, code="interrupted", message="The worker was shut down.")
            raise
        except PermanentError as error:
            outcome = Outcome(state=State.FAILED, error=error.code, message=error.message)
        except TransientError as error:
            if retries < on.config.max_retries:
                on.ledger.release(document, code=error.code, message=error.message)
                raise TryAgainError(backoff_seconds(on.config, retries)) from error
            outcome = Outcome(state=State.QUARANTINED, error=error.code, message=error.message)
        except RedisError:
            raise
        except Exception as error:
            # Not foreseen: it counts as an attempt, so that it ends in the quarantine and never in a loop.
            logger.exception("document %s: %s", document_id, type(error).__name__)
            reason = f"{type(error).__name__}: {error}"
            on.ledger.release(document, code="internal_error", message=reason, refund=False)
            raise TryAgainError(backoff_seconds(on.config, retries)) from error
        if outcome is not None:
            on.ledger.settle(document, outcome, token=token)


def _quarantine_exhausted(on: Services, document_id: str) -> None:
    document = on.ledger.document(document_id)
    if document is None:
        return
    code = document.last_error or "worker_lost"
    reason = document.last_message or "Each time, the worker that read it was lost."
    message = (
        f"It was started {document.attempts} times and never finished. {reason} "
        f"Look at it with `fleet quarantine show {document_id}`."
    )
    outcome = Outcome(state=State.QUARANTINED, error=code, message=message)
    on.ledger.settle(document, outcome, token=f"{on.worker}/exhausted")


def backoff_seconds(config: Settings, retries: int) -> float:
    """Return the pause before retry number `retries` + 1: exponential, with full jitter above its half.

    Source: "Exponential Backoff And Jitter", AWS Architecture Blog; half is kept so that no retry is at once.
    """
    ceiling = min(config.retry_backoff_max_seconds, config.retry_backoff_seconds * 2.0**retries)
    return ceiling * random.uniform(0.5, 1.0)  # noqa: S311  # spreads load, guards nothing


def original(on: Services, document: Document) -> bytes:
    """Return the bytes of a document.

    Raises:
        DocumentMissingError: where they were deleted before their turn.
        StorageError: where the store does not answer.
    """
    try:
        return on.store.get(document.object)
    except FileNotFoundError:
        raise DocumentMissingError from None
