"""Celery beat as the fleet runs it: one at a time, and silent while there is nothing to do.

RedBeat keeps the schedule, the time of each entry's last run, and a lock in Redis: a second beat waits for the
lock, and one that was restarted goes on where it was. `fleet beat` and `celery -A app.celery_app beat` start the
same.
"""

import logging
from typing import Any

from celery.apps.beat import Beat
from redbeat import RedBeatScheduler

from app.config import settings
from app.errors import SettingsError
from app.ledger.ledger import ledger_of
from app.ledger.reconcile import anything_open
from app.queues import DOCUMENT_TASKS, TaskName
from app.runtime.heartbeat import Heartbeat
from app.worker.celery_app import app


class Scheduler(RedBeatScheduler):  # type: ignore[misc]  # RedBeat carries no types
    """RedBeat's scheduler, which asks for a reconciliation only where there is something to compare.

    A message would wake a worker: an idle fleet, asked every ten seconds, could never be at zero replicas.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        config = settings()
        self._ledger = ledger_of(config)
        self._heartbeat = Heartbeat(config.heartbeat_file)
        super().__init__(*args, **kwargs)

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Send what is due; return the seconds until the next look."""
        pause = super().tick(*args, **kwargs)
        self._heartbeat.begin()
        return float(pause)

    def apply_async(self, entry: Any, producer: Any = None, advance: bool = True, **kwargs: Any) -> Any:
        """Send an entry's task, or let its turn pass where it has nothing to do."""
        if entry.task == TaskName.RECONCILE and not anything_open(self._ledger, DOCUMENT_TASKS):
            self.reserve(entry)
            return None
        return super().apply_async(entry, producer=producer, advance=advance, **kwargs)


def run() -> None:
    """Send what is due until SIGTERM.

    Raises:
        SettingsError: where no server is named.
    """
    config = settings()
    if not config.redis_url:
        raise SettingsError("Set FLEET_REDIS_URL to the Redis server that the fleet shares.")
    logging.basicConfig(level=config.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    Beat(app=app, loglevel=config.log_level, quiet=True).run()
