"""`ledger.reconcile`: mends what the broker lost; beat sends it."""

import logging

from app.celery_app import app
from app.config import Settings
from app.dispatch import message
from app.ledger.ledger import Ledger
from app.ledger.reconcile import Findings, reconcile
from app.queues import DOCUMENT_TASKS, Queue, TaskName
from app.tasks.services import services

logger = logging.getLogger(__name__)


def reconcile_queues(ledger: Ledger, config: Settings) -> dict[Queue, Findings]:
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


@app.task(
    name=TaskName.RECONCILE.value,
    acks_late=True,
    ignore_result=True,
    soft_time_limit=60,
    time_limit=90,
)
def reconcile_ledger() -> None:
    """Compare what is open with what the broker holds, once."""
    reconcile_queues(services().ledger, services().config)
