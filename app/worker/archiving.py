"""When beat sends the task that archives: only if something is due, as the message may start a worker."""

import time
from collections.abc import Callable

from app.ledger.archive_due import due_batches, limits
from app.ledger.ledger import Ledger
from app.queues import ROUTES, TaskName

LOOK_SECONDS = 10.0
"""Shortest pause between two searches for something to do, and between two tasks under pressure."""
PAUSE_SECONDS = 60.0
"""Shortest pause between two tasks while the ledger is not under pressure."""


class ArchiveCaller:
    """Sends the task that archives, if something is due and no such task waits or runs.

    It looks every ten seconds, and may send as often while the ledger is under pressure. Else it sends once a tenth of
    the time that settled documents stay, as in a steady flow of documents something is always due.

    Args:
        ledger: The ledger.
        send: Sends a task.
        clock: A clock that does not go back.
    """

    def __init__(
        self,
        ledger: Ledger,
        send: Callable[[TaskName], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger = ledger
        self._send = send
        self._clock = clock
        self._pause = max(PAUSE_SECONDS, ledger.config.archive_after_seconds / 10)
        self._looked = self._sent = float("-inf")

    def call(self) -> None:
        """Send the task if it is time to; call it more often than that.

        Raises:
            ServerError: the server does not answer.
        """
        now = self._clock()
        if now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        found = limits(self._ledger)
        if not found.pressed and now - self._sent < self._pause:
            return
        if self._ledger.sent(ROUTES[TaskName.ARCHIVE], TaskName.ARCHIVE):
            return
        if any(due_batches(self._ledger, found)):
            self._send(TaskName.ARCHIVE)
            self._sent = now
