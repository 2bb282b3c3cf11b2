"""Celery beat as the fleet runs it: one at a time, and with the reconciler beside its schedule.

RedBeat keeps the schedule and the time of each entry's last run in Redis: a restarted beat continues the schedule. A
lease lets one beat work at a time. `fleet beat` and `celery -A app.celery_app beat` start the same beat.

RedBeat's own lock ends its process if the server is away or has no memory left, and waits only at the start. So each
tick renews the lease instead, and a tick that fails is followed by the next.
"""

import logging
import time
from typing import Any

from celery.apps.beat import Beat
from kombu.exceptions import OperationalError
from redbeat import RedBeatScheduler

from app.config import settings
from app.errors import ServerError
from app.ledger.lease import Lease
from app.ledger.ledger import Ledger
from app.ledger.reconcile import Reconciler
from app.queues import DOCUMENT_TASKS, TaskName
from app.runtime import heartbeat
from app.worker.archiving import ArchiveCaller
from app.worker.celery_app import app

logger = logging.getLogger(__name__)


class Scheduler(RedBeatScheduler):  # type: ignore[misc]  # RedBeat carries no types
    """RedBeat's scheduler, which reconciles and ends pauses itself: beat holds the lease, and it always runs.

    A message for that would start a worker, and could not be processed while no worker can be scheduled. It sends the
    task that archives when that has something to do.
    """

    lock_key: Any

    def __init__(self, app: Any, *args: Any, **kwargs: Any) -> None:
        config = settings()
        self._ledger = Ledger.of(config)
        self._reconciler = Reconciler(self._ledger)
        self._archiving = ArchiveCaller(self._ledger, self._send_now)
        self._interval = config.reconcile_seconds
        self._reconciled = float("-inf")
        self._heartbeat = heartbeat.Heartbeat(config.heartbeat_file)
        self._set_up = False
        # RedBeat's client: the ledger's waits for the server with beats, and has one kind of error.
        app.redbeat_redis = self._ledger.client
        app.conf.task_publish_retry_policy = {
            **app.conf.task_publish_retry_policy,
            "errback": lambda *_: heartbeat.beat(),
        }
        super().__init__(app, *args, **kwargs)
        self._lease = Lease(self._ledger.client, self.lock_key, self.lock_timeout)
        self.lock_key = None  # RedBeat takes no lock

    def setup_schedule(self) -> None:
        """Do nothing yet: the first tick that holds the lease writes the schedule."""

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Send the entries that are due, and reconcile if that is due; return the seconds until the next tick."""
        self._heartbeat.beat()
        pause = float(self.max_interval)
        try:
            if not self._lease.hold():
                return pause
        except ServerError as error:
            logger.warning("beat waits for its server: %s", error)
            self._heartbeat.begin()
            return pause
        try:
            pause = self._send_due(*args, **kwargs)
        except (ServerError, OperationalError) as error:
            logger.warning("the schedule has to wait: %s", error)
        self._keep_ledger()
        self._heartbeat.begin()
        return pause

    def _send_due(self, *args: Any, **kwargs: Any) -> float:
        if not self._set_up:
            super().setup_schedule()
            self._set_up = True
        return float(super().tick(*args, **kwargs))

    def _ensure_connected(self) -> Any:
        """Return the connection that sends messages; a server that is away is the next tick's matter."""
        return self.connection.ensure_connection(max_retries=0)

    def _send_now(self, task: TaskName) -> None:
        self.app.send_task(task.value, producer=self.producer)

    def _keep_ledger(self) -> None:
        try:
            if time.monotonic() - self._reconciled >= self._interval:
                self._reconciler.reconcile()
                self._archiving.call()
                self._reconciled = time.monotonic()
            else:
                self._reconciler.see_server()
                for queue in DOCUMENT_TASKS:
                    self._ledger.fill(queue)  # ends the pauses of documents that are due
        except (ServerError, OperationalError) as error:
            logger.warning("the upkeep of the ledger has to wait: %s", error)

    def close(self) -> None:
        """Give up the lease, so that the next beat need not wait."""
        try:
            self._lease.release()
        except ServerError as error:
            logger.warning("the lease of beat could not be given up: %s", error)
        super().close()


def run() -> None:
    """Send scheduled tasks until SIGTERM.

    Raises:
        SettingsError: FLEET_REDIS_URL is not set.
    """
    config = settings()
    config.require("redis_url")
    logging.basicConfig(level=config.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    Beat(app=app, loglevel=config.log_level, quiet=True).run()
