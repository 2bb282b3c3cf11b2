"""The progress of a batch, as lines on standard error."""

import math
import sys
import time

import typer

from app.ledger.models import BatchCounts


class BatchProgress:
    """Prints how far a batch is: a line when something changed, at most one every `PAUSE_SECONDS`.

    On a terminal, `made` and `sent` each redraw one line in place.
    """

    PAUSE_SECONDS = 5.0

    def __init__(self) -> None:
        self._last = ""
        self._printed_at = -math.inf

    def made(self, ready: int, total: int) -> None:
        """Print how many synthetic documents are made."""
        self._step(f"made {ready:,} of {total:,}", done=ready == total)

    def sent(self, stored: int, total: int) -> None:
        """Print how many originals are stored."""
        self._step(f"stored {stored:,} of {total:,}", done=stored == total)

    def _step(self, line: str, *, done: bool) -> None:
        if sys.stderr.isatty():
            sys.stderr.write(line + ("\n" if done else "\r"))
            sys.stderr.flush()
        else:
            self._print(line, at_once=done)

    def counts(self, counts: BatchCounts) -> None:
        """Print how many documents are settled."""
        line = (
            f"settled {counts.settled:,}/{counts.total:,}  succeeded {counts.succeeded:,}  "
            f"failed {counts.failed:,}  quarantined {counts.quarantined:,}"
        )
        self._print(line, at_once=counts.done)

    def absence(self, why: str) -> None:
        """Print why the Redis server does not answer."""
        self._print(f"The Redis server is away ({why}); waiting for it.", at_once=False)

    def note(self, line: str) -> None:
        """Print a sentence about the batch."""
        self._print(line, at_once=True)

    def _print(self, line: str, *, at_once: bool) -> None:
        now = time.monotonic()
        if line != self._last and (at_once or now - self._printed_at >= self.PAUSE_SECONDS):
            self._last, self._printed_at = line, now
            typer.echo(line, err=True)
