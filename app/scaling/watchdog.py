"""Ends a fleet whose owner died: run as a script, it waits until its standard input closes.

The owner writes a byte before it closes the pipe when it ended everything itself. Where the pipe closes without
one (SIGKILL, a crash), every process of the watchdog's group is killed, and the run's folder removed.
"""

import os
import shutil
import signal
import sys
import time


def main() -> int:
    """Wait for the owner; return the exit code."""
    group, folder = os.getpgrp(), sys.argv[1]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if sys.stdin.buffer.read(1):
        return 0
    # Out of the group first: a process cannot clean up after it has killed itself.
    if os.fork():
        return 0
    os.setsid()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.killpg(group, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            break
        time.sleep(0.05)
    shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
