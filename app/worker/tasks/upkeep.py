"""`ledger.reconcile`: one pass of the reconciler, for whoever wants it at once; beat makes them regularly."""

from app.ledger.reconcile import Reconciler
from app.queues import TaskName
from app.worker.celery_app import app
from app.worker.services import worker_services


@app.task(name=TaskName.RECONCILE.value, acks_late=True, ignore_result=True)
def reconcile_ledger() -> None:
    """Reconcile every queue once."""
    Reconciler(worker_services().ledger).reconcile()
