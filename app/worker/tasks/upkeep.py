"""The ledger's upkeep: a pass of the reconciler for whoever wants it at once, and the archive from start to end."""

from app.ledger.archive import Archive
from app.ledger.expiry import expire
from app.ledger.reconcile import Reconciler
from app.queues import TaskName
from app.worker.celery_app import app
from app.worker.services import worker_services

ARCHIVE_SECONDS = 30.0
"""How long one task archives: less than a worker's grace. Beat sends the next one if something is left."""
EXPIRE_SECONDS = 3_600.0
"""How long one task removes expired objects; a task that a shutdown ends is delivered again, and goes on."""


@app.task(name=TaskName.RECONCILE.value, acks_late=True, ignore_result=True)
def reconcile_ledger() -> None:
    """Reconcile every queue once."""
    Reconciler(worker_services().ledger).reconcile()


# No retries: beat sends another one. The solo pool enforces no time limit, so the functions keep their own.
@app.task(
    name=TaskName.ARCHIVE.value, acks_late=True, reject_on_worker_lost=True, max_retries=0, ignore_result=True
)
def archive_settled() -> None:
    """Archive what is due."""
    services = worker_services()
    Archive(services.ledger, services.store).run(ARCHIVE_SECONDS)


@app.task(
    name=TaskName.EXPIRE.value, acks_late=True, reject_on_worker_lost=True, max_retries=0, ignore_result=True
)
def expire_archive() -> None:
    """Remove the batches from the archive whose retention is over."""
    services = worker_services()
    expire(services.ledger, services.store, EXPIRE_SECONDS)
