"""`ledger.reconcile`: mends what the broker lost; beat sends it."""

from app.ledger.message import reconcile_queues
from app.queues import TaskName
from app.worker.celery_app import app
from app.worker.services import services


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
