"""The end of processes that are no children of the test."""

import psutil


def ended(process: psutil.Process) -> bool:
    """Return whether a process has ended; PID 1 may take seconds until it removes an orphan's entry."""
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
