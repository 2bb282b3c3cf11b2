"""The wait for room on a full Redis server, and what a person reads about it."""

import time
from collections.abc import Callable

from app.errors import ServerFullError


class RoomWait:
    """Waits while a full server opens no documents; what `Ledger.open` takes as `when_full`.

    Args:
        seconds: How long it waits in all.
        on_line: Called with a sentence when it begins to wait, and with one when it goes on.
        pause: Called between two tries; it must take a moment.
        batch_id: The batch, for the sentences.
    """

    def __init__(
        self, seconds: float, *, batch_id: str, on_line: Callable[[str], None], pause: Callable[[], None]
    ) -> None:
        self._seconds = seconds
        self._batch_id = batch_id
        self._on_line = on_line
        self._pause = pause
        self._opened = 0
        self._waited = 0.0
        self._since: float | None = None

    def refused(self, error: ServerFullError) -> None:
        """Pause, and return for another try.

        Raises:
            ServerFullError: it has waited long enough.
        """
        now = time.monotonic()
        if self._since is None:
            self._since = now
            self._on_line(f"{error.message} Waiting for room; {self._so_far}.")
        if self._waited + now - self._since >= self._seconds:
            raise ServerFullError(
                f"{error.message} This command has waited {self._seconds:g} s for room "
                f"(FLEET_FULL_SERVER_TIMEOUT_SECONDS); {self._so_far}."
            )
        self._pause()

    def opened(self, documents: int) -> None:
        """Count documents that were opened."""
        self._opened += documents
        if self._since is None:
            return
        waited = time.monotonic() - self._since
        self._waited += waited
        self._since = None
        self._on_line(f"The Redis server has room again after {waited:,.0f} s; {self._so_far}.")

    @property
    def _so_far(self) -> str:
        noun = "document is" if self._opened == 1 else "documents are"
        return f"{self._opened:,} {noun} open in batch {self._batch_id}"
