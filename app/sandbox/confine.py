"""Confinement of a sandbox child: it lowers its limits and gives up privileges before its first document.

Linux enforces all of this. macOS has no PR_SET_PDEATHSIG and no no_new_privs and does not enforce RLIMIT_AS; only the
CPU limit, the parent's timeout and the lifeline hold there.
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
"""Enough for Python to cache the bytecode of later imports; the child writes no other file."""
_LIFELINE_STACK_BYTES = 256 * 1024
_CPU_RESERVE_SECONDS = 60


def confine(limits: Limits, *, max_documents: int) -> None:
    """Lower the limits of this process irrevocably: memory, CPU, core file, file size, open files, privileges.

    Args:
        limits: What each document may cost.
        max_documents: Documents for the whole life of the process; bounds its total CPU time.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _lower(resource.RLIMIT_FSIZE, _FILE_BYTES)
    _lower(resource.RLIMIT_NOFILE, _OPEN_FILES)
    # `grant_cpu` raises the soft limit for each document; the hard limit bounds the whole life.
    _lower(resource.RLIMIT_CPU, max_documents * limits.cpu_seconds + _CPU_RESERVE_SECONDS)
    if sys.platform == "linux":
        _lower(resource.RLIMIT_AS, limits.memory_bytes)
        ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def _lower(which: int, value: int) -> None:
    """Set the soft and the hard limit to `value`, or to the present hard limit if that is lower."""
    hard = resource.getrlimit(which)[1]
    bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(which, (bound, bound))


def grant_cpu(seconds: int) -> None:
    """Allow this process `seconds` more of CPU time, after which SIGXCPU ends it."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    soft = math.ceil(used.ru_utime + used.ru_stime) + seconds
    resource.setrlimit(
        resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard)
    )


def die_with_parent(lifeline: int, *, parent: int | None) -> None:
    """Kill this process when its parent ends, even while it is in a C function that does not return.

    Args:
        lifeline: A descriptor whose other end only the parent holds: it reaches end of file when the parent ends.
        parent: The parent's process id, to use PR_SET_PDEATHSIG as well; None unless the parent's main thread
            started this process, because that signal is sent when the starting *thread* ends.
    """
    if parent is not None and sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # the parent ended before the call
            os.kill(os.getpid(), signal.SIGKILL)
    threading.stack_size(_LIFELINE_STACK_BYTES)
    when_it_ends(lifeline, lambda: os.kill(os.getpid(), signal.SIGKILL))
