"""What a sandbox child takes from itself before it sees its first document.

Linux enforces all of it. macOS knows no RLIMIT_AS that holds, no PR_SET_PDEATHSIG and no no_new_privs: there
the CPU limit, the parent's clock and the lifeline remain.
"""

import ctypes
import math
import os
import resource
import signal
import sys
import threading

from app.documents.limits import Limits
from app.runtime.lifeline import when_it_ends

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
"""prctl(2) numbers, from linux/prctl.h."""
_OPEN_FILES = 64
_FILE_BYTES = 4 * 1024 * 1024
"""Enough for Python to cache the bytecode of what is imported later; nothing else is ever written."""
_LIFELINE_STACK_BYTES = 256 * 1024
_CPU_RESERVE_SECONDS = 60


def confine(limits: Limits, *, max_documents: int) -> None:
    """Lower this process's limits for good: memory, core file, files, privileges."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _lower(resource.RLIMIT_FSIZE, _FILE_BYTES)
    _lower(resource.RLIMIT_NOFILE, _OPEN_FILES)
    # The soft limit moves on with each document; the hard one bounds the whole life.
    _lower(resource.RLIMIT_CPU, max_documents * limits.cpu_seconds + _CPU_RESERVE_SECONDS)
    if sys.platform == "linux":
        _lower(resource.RLIMIT_AS, limits.memory_bytes)
        ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def _lower(which: int, value: int) -> None:
    """Set both limits to `value`, or to the hard limit there is, where that is lower."""
    hard = resource.getrlimit(which)[1]
    bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(which, (bound, bound))


def grant_cpu(seconds: int) -> None:
    """Allow the process that many CPU seconds from now on; beyond, SIGXCPU ends it."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    soft = math.ceil(used.ru_utime + used.ru_stime) + seconds
    resource.setrlimit(
        resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard)
    )


def die_with_parent(lifeline: int, *, parent: int | None) -> None:
    """End this process when its parent ends, even where it is inside a C function that does not return.

    Args:
        lifeline: A descriptor whose other end only the parent holds; its end of file means that it is gone.
        parent: The parent's process id where the kernel may be asked too: PR_SET_PDEATHSIG fires when the
            *thread* that started this process ends, so only a main thread may ask for it.
    """
    if parent is not None and sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it ended before we asked
            os.kill(os.getpid(), signal.SIGKILL)
    threading.stack_size(_LIFELINE_STACK_BYTES)
    when_it_ends(lifeline, lambda: os.kill(os.getpid(), signal.SIGKILL))
