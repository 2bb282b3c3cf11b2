"""The watchdog of a process group: a script that waits until its standard input closes, when its owner has died.

An owner that exits normally kills this process with the rest of the group. If the pipe closes first (SIGKILL, a
crash), this process kills every process of the group and removes the run's folder.
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
    sys.stdin.buffer.read()
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
