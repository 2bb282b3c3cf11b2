"""The signal handlers of the test's own process."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from app.runtime.signals import ENDING


@contextmanager
def handlers_kept() -> Iterator[None]:
    """Restore this process's handlers of the signals that end a command when the body ends."""
    before = {number: signal.getsignal(number) for number in ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
