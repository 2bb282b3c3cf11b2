"""The processes of a local fleet: in a group of their own, none of which outlives its owner."""

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
    """Starts processes that end with this one, even where it is killed.

    They are in a process group of their own, so that a terminal's Ctrl-C reaches only the owner, who ends
    them in order; a watchdog in the group kills them all when the owner is gone.

    Args:
        folder: The run's folder; removed by the watchdog where the owner cannot.
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
        """Start `command` in the group, its output going to `log`."""
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            process_group=self._watchdog.pid,
        )

    def close(self) -> None:
        """Kill whatever of the group is left, the watchdog too; whoever started the others waits for them."""
        # The group exists as long as its leader was not waited for, so no other process can be meant.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._watchdog.pid, signal.SIGKILL)
        if self._watchdog.stdin is not None:
            self._watchdog.stdin.close()
        self._watchdog.wait()
