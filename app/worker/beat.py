"""Celery beat as the fleet runs it: one at a time, and without messages while the fleet is idle.

RedBeat keeps the schedule, the time of each entry's last run, and a lock in Redis: a second beat waits for the
lock, and a restarted one continues the schedule. `fleet beat` and `celery -A app.celery_app beat` start the same beat.
"""

import logging
from typing import Any

from celery.apps.beat import Beat
from redbeat import RedBeatScheduler

from app.config import settings
from app.ledger.ledger import Ledger
from app.ledger.reconcile import anything_open
from app.queues import TaskName
from app.runtime.heartbeat import Heartbeat
from app.worker.celery_app import app


class Scheduler(RedBeatScheduler):  # type: ignore[misc]  # RedBeat carries no types
    """RedBeat's scheduler, which sends a reconciliation only if there is something to compare.

    Each message starts a worker: with one every ten seconds an idle fleet would never be at zero replicas.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        config = settings()
        self._ledger = Ledger.of(config)
        self._heartbeat = Heartbeat(config.heartbeat_file)
        super().__init__(*args, **kwargs)

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Send the entries that are due; return the seconds until the next tick."""
        pause = super().tick(*args, **kwargs)
        self._heartbeat.begin()
        return float(pause)

    def apply_async(self, entry: Any, producer: Any = None, advance: bool = True, **kwargs: Any) -> Any:
        """Send an entry's task, or skip its turn if it has nothing to do."""
        if entry.task == TaskName.RECONCILE and not anything_open(self._ledger):
            self.reserve(entry)
            return None
        return super().apply_async(entry, producer=producer, advance=advance, **kwargs)


def run() -> None:
    """Send scheduled tasks until SIGTERM.

    Raises:
        SettingsError: FLEET_REDIS_URL is not set.
    """
    config = settings()
    config.require("redis_url")
    logging.basicConfig(level=config.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    Beat(app=app, loglevel=config.log_level, quiet=True).run()
