"""Celery beat as the fleet runs it: one at a time, and with the reconciler beside its schedule.

RedBeat keeps the schedule, the time of each entry's last run, and a lock in Redis: a second beat waits for the
lock, and a restarted one continues the schedule. `fleet beat` and `celery -A app.celery_app beat` start the same beat.
"""

import logging
import time
from typing import Any

from celery.apps.beat import Beat
from redbeat import RedBeatScheduler

from app.config import settings
from app.errors import ServerError
from app.ledger.ledger import Ledger
from app.ledger.reconcile import Reconciler
from app.ledger.retention import forget_expired
from app.queues import DOCUMENT_TASKS
from app.runtime.heartbeat import Heartbeat
from app.worker.celery_app import app

logger = logging.getLogger(__name__)


class Scheduler(RedBeatScheduler):  # type: ignore[misc]  # RedBeat carries no types
    """RedBeat's scheduler, which reconciles and ends pauses itself: beat holds the lock, and it always runs.

    A message for that would start a worker, and could not be processed while no worker can be scheduled.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        config = settings()
        self._ledger = Ledger.of(config)
        self._reconciler = Reconciler(self._ledger)
        self._interval = config.reconcile_seconds
        self._reconciled = float("-inf")
        self._heartbeat = Heartbeat(config.heartbeat_file)
        super().__init__(*args, **kwargs)

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Send the entries that are due, and reconcile if that is due; return the seconds until the next tick."""
        pause = super().tick(*args, **kwargs)
        self._keep_ledger()
        self._heartbeat.begin()
        return float(pause)

    def _keep_ledger(self) -> None:
        try:
            if time.monotonic() - self._reconciled >= self._interval:
                self._reconciler.reconcile()
                forget_expired(self._ledger)
                self._reconciled = time.monotonic()
            else:
                for queue in DOCUMENT_TASKS:
                    self._ledger.fill(queue)  # ends the pauses of documents that are due
        except ServerError as error:
            logger.warning("the ledger could not be reconciled: %s", error)


def run() -> None:
    """Send scheduled tasks until SIGTERM.

    Raises:
        SettingsError: FLEET_REDIS_URL is not set.
    """
    config = settings()
    config.require("redis_url")
    logging.basicConfig(level=config.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    Beat(app=app, loglevel=config.log_level, quiet=True).run()
