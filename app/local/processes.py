"""The processes of a local fleet: a group of their own that does not outlive this process, and their logs."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

WATCHDOG = Path(__file__).with_name("watchdog.py")


class ProcessGroup:
    """A process group that ends with this process, even if that is killed.

    A terminal's Ctrl-C reaches only this process, which stops the others in order. A watchdog in the group kills them
    and removes the run's folder if this process dies first.

    Args:
        folder: The run's folder.
    """

    def __init__(self, folder: Path) -> None:
        self._watchdog = subprocess.Popen(
            [sys.executable, "-I", "-S", str(WATCHDOG), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            process_group=0,
        )

    def start(
        self, command: Sequence[str], *, environment: Mapping[str, str], log: IO[bytes]
    ) -> "subprocess.Popen[bytes]":
        """Start `command` in the group; `log` gets its output."""
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            process_group=self._watchdog.pid,
        )

    def close(self) -> None:
        """Kill the processes that are left, and the watchdog; callers of `start` wait for theirs."""
        # The id is not another group's: nobody has waited for this group's leader yet.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._watchdog.pid, signal.SIGKILL)
        if self._watchdog.stdin is not None:
            self._watchdog.stdin.close()
        self._watchdog.wait()


def last_line(log: Path) -> str:
    """Return the last line of a process's log that is not blank, or a sentence if there is none."""
    try:
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        lines = []
    return lines[-1] if lines else "nothing was logged."
