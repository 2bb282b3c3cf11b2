"""The thread in which a worker reports that it lives, and what it has in progress."""

import logging
import threading

from app.errors import ServerError
from app.worker.services import Services

logger = logging.getLogger(__name__)
END_SECONDS = 5.0
"""Longest wait for the thread's last command: a thread that uses TLS must not outlive the interpreter."""


class Presence:
    """Reports a worker's presence three times in each `presence_seconds`.

    Args:
        services: The worker's services; their queue and worker are set.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._woken = threading.Event()
        self._leaving = self._ended = False
        self._thread = threading.Thread(target=self._run, name="presence", daemon=True)

    def begin(self) -> None:
        """Start to report."""
        self._thread.start()

    def leave_metric(self) -> None:
        """Take the documents in progress out of the scaling metric soon; a signal handler may call it."""
        self._leaving = True
        self._woken.set()

    def end(self) -> None:
        """Stop to report."""
        self._ended = True
        self._woken.set()
        self._thread.join(END_SECONDS)

    def _run(self) -> None:
        services, ledger = self._services, self._services.ledger
        while not self._ended:
            self._woken.wait(services.config.presence_seconds / 3)
            self._woken.clear()
            documents = list(services.in_progress)
            try:
                if self._leaving and documents:
                    ledger.end_worker(services.queue, services.worker, documents)
                if not self._ended:
                    ledger.report_presence(services.queue, services.worker, documents)
            except ServerError as error:
                logger.warning("presence could not be reported: %s", error)
