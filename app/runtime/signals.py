"""Handlers for the signals that stop a command: the first unwinds the stack, and later ones cannot interrupt that."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that stop a command."""


class Stopped(BaseException):  # like KeyboardInterrupt, so that no library's `except Exception` catches it
    """Stopped: every process that this command started has ended."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.exit_code = 128 + number


def stop_on_signals() -> None:
    """Make the first signal of `ENDING` raise `Stopped`, and ignore all later ones."""
    for number in ENDING:
        # A signal that was ignored from the start (nohup) stays ignored.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)


def ignore_signals() -> None:
    """Ignore the signals of `ENDING` from now on."""
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)


_held: list[bool] = []
"""One entry for each `held_back` in progress."""
_pending: list[int] = []


def _stop(number: int, _frame: FrameType | None) -> None:
    ignore_signals()
    if _held:
        _pending.append(number)
        return
    raise Stopped(number)


@contextmanager
def held_back() -> Iterator[None]:
    """Hold back the signals of `ENDING` until the body has finished.

    A signal mask would not help: another thread would receive the signal, and Python runs handlers in the main thread.

    Raises:
        Stopped: at the end of the body, if a signal arrived meanwhile.
    """
    _held.append(True)
    try:
        yield
    finally:
        _held.pop()
        if _pending and not _held:
            raise Stopped(_pending.pop())
