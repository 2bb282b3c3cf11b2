"""A pipe or connection that ends with whoever holds its other end: the only way to learn of a SIGKILL everywhere."""

import os
import threading
from collections.abc import Callable

STDIN = 0
"""Its descriptor; `sys.stdin` is None where that was closed from the first."""


def when_it_ends(descriptor: int, then: Callable[[], object]) -> None:
    """Call `then` when nobody holds the other end of `descriptor` any more; what is written to it is passed over.

    That is in a thread of its own, and so also while the main thread is in a C function that lets go of the GIL. Where
    `descriptor` is closed from the first it is at once.
    """
    threading.Thread(target=_wait, args=(descriptor, then), name="lifeline", daemon=True).start()


def _wait(descriptor: int, then: Callable[[], object]) -> None:
    try:
        while os.read(descriptor, 4096):
            pass
    except OSError:
        pass  # closed from the first
    then()
