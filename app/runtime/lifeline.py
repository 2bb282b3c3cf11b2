"""Lifelines: pipes and connections that reach end of file when the process at the other end dies, even by SIGKILL.

No other way to notice a SIGKILL works on all systems.
"""

import os
import threading
from collections.abc import Callable

STDIN = 0
"""Descriptor of standard input; `sys.stdin` is None if it was closed when Python started."""


def when_it_ends(descriptor: int, then: Callable[[], object]) -> None:
    """Call `then` when `descriptor` reaches end of file, or at once if it is closed; data read from it is discarded.

    A thread of its own makes the call, so that it works while the main thread is in a C function that released the GIL.
    """
    threading.Thread(target=_wait, args=(descriptor, then), name="lifeline", daemon=True).start()


def _wait(descriptor: int, then: Callable[[], object]) -> None:
    try:
        while os.read(descriptor, 4096):
            pass
    except OSError:
        pass  # closed already
    then()
