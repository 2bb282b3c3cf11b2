"""The signals that end a command: they unwind what was started, and cannot interrupt the unwinding."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(BaseException):  # like KeyboardInterrupt: no error, and no library's `except` is to take it
    """Stopped: everything that was started has been ended."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.exit_code = 128 + number


def stop_on_signals() -> None:
    """Make the first of `ENDING` raise `Stopped`, and the others do nothing from then on."""
    for number in ENDING:
        # Whoever started us with a signal ignored (nohup) means it.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)


def ignore_signals() -> None:
    """Make `ENDING` do nothing from now on."""
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)


_held: list[bool] = []
_came: list[int] = []


def _stop(number: int, _frame: FrameType | None) -> None:
    ignore_signals()
    if _held:
        _came.append(number)
        return
    raise Stopped(number)


@contextmanager
def held_back() -> Iterator[None]:
    """Let a signal wait until the body is through.

    A mask would not do: another thread would take the signal, and Python still raise it in the main one.

    Raises:
        Stopped: at the end of the body, where a signal came meanwhile.
    """
    _held.append(True)
    try:
        yield
    finally:
        _held.pop()
        if _came and not _held:
            raise Stopped(_came.pop())
