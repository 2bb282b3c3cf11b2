"""Celery's consumer for a server that may be away for long: it beats while it waits, and is back soon after the server.

Celery's own waits up to 30 s between two tries, and gives up after a hundred.
"""

import logging
from typing import Any

from celery.worker import consumer
from celery.worker.state import maybe_shutdown

from app.config import settings
from app.runtime import heartbeat

logger = logging.getLogger(__name__)
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 5.0
"""The longest pause between two tries to connect."""


class Consumer(consumer.Consumer):  # type: ignore[misc]  # Celery carries no types
    """A consumer that waits for its server as long as it takes."""

    def ensure_connected(self, conn: Any) -> Any:
        """Return `conn` once it is connected."""

        def failed(error: Exception, pause: float) -> None:
            logger.error("no server at %s: %s; next try in %g s", conn.as_uri(), error, pause)
            heartbeat.begin(settings().heartbeat_file)

        conn.ensure_connection(
            failed,
            interval_start=FIRST_PAUSE_SECONDS,
            interval_step=FIRST_PAUSE_SECONDS,
            interval_max=LONGEST_PAUSE_SECONDS,
            callback=_wait,
        )
        self.first_connection_attempt = False
        return conn

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Close the broken connection, which may take as long as a socket's timeout."""
        heartbeat.beat()
        super().on_connection_error_after_connected(exc)


def _wait() -> None:
    """Called after each failed try, and each second of a pause."""
    heartbeat.beat()
    maybe_shutdown()
