"""`ledger.reconcile`: sends lost messages again and mends those in flight; beat sends the task."""

from app.ledger.reconcile import reconcile_queues
from app.queues import TaskName
from app.worker.celery_app import app
from app.worker.services import worker_services


@app.task(name=TaskName.RECONCILE.value, acks_late=True, ignore_result=True)
def reconcile_ledger() -> None:
    """Reconcile every queue once."""
    reconcile_queues(worker_services().ledger)
