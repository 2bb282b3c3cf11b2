"""A lifeline: a pipe or connection that reaches end of file when the process at its other end dies, even by SIGKILL.

No other way to notice a SIGKILL works on every system.
"""

import os
import threading
from collections.abc import Callable

STDIN = 0
"""Descriptor of standard input; `sys.stdin` is None if it was closed when Python started."""


def when_it_ends(descriptor: int, then: Callable[[], object]) -> None:
    """Call `then` when `descriptor` reaches end of file, or at once if it is closed; data read from it is discarded.

    The call is made in a thread of its own, so it works while the main thread is in a C function that has released the
    GIL.
    """
    threading.Thread(target=_wait, args=(descriptor, then), name="lifeline", daemon=True).start()


def _wait(descriptor: int, then: Callable[[], object]) -> None:
    try:
        while os.read(descriptor, 4096):
            pass
    except OSError:
        pass  # closed already
    then()
