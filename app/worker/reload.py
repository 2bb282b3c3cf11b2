"""`fleet worker --reload`: a worker that starts anew when its source changes, for development.

Files are looked at, not subscribed to: where they are brought into a container, no event may ever arrive.
"""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from app.runtime.signals import ENDING
from app.worker.crew import exit_code

SOURCE = Path(__file__).resolve().parents[1]
"""The package `app`."""
SUFFIXES = frozenset({".py", ".lua"})
POLL_SECONDS = 0.5

State = dict[Path, tuple[int, int]]
"""Each file with its time (ns) and size: whatever brings a file may set its time back."""


def state_of(folder: Path) -> State:
    """Return the state of every source file in `folder`."""
    found: State = {}
    for path in folder.rglob("*"):
        if path.suffix in SUFFIXES:
            try:
                status = path.stat()
            except FileNotFoundError:  # removed meanwhile
                continue
            found[path] = (status.st_mtime_ns, status.st_size)
    return found


def run_reloading(command: Sequence[str], folder: Path = SOURCE) -> int:
    """Run `command` until told to end, or until it ends by itself; start it anew after each change of source.

    It is ended by SIGTERM, so it finishes what it has. Where it cannot start with what was edited, the next edit
    is awaited.

    Returns:
        Its exit code, as a shell would say it; 0 where it was told to end and had not come far enough to be.
    """
    return _Reloader(command, folder).work()


class _Reloader:
    def __init__(self, command: Sequence[str], folder: Path) -> None:
        self._command, self._folder = list(command), folder
        self._worker: subprocess.Popen[bytes] | None = None
        self._told = threading.Event()

    def work(self) -> int:
        # Before the first start, so that no signal is lost in between.
        for number in ENDING:
            signal.signal(number, self._end)
        signal.signal(signal.SIGQUIT, self._forward)
        edited = False
        seen = state_of(self._folder)
        while True:
            code = self._run(seen)
            if self._told.is_set() or (code is not None and not edited):
                return code or 0  # its own end is not our doing: whoever supervises us decides
            if code is not None:
                _say(f"The worker ended with {code}; it starts again after the next edit.")
                self._await_change(seen)
            seen = self._settled()
            if self._told.is_set():
                return 0
            edited = True
            _say("The source has changed: the worker starts anew.")

    def _run(self, seen: State) -> int | None:
        """Run the worker; return its exit code, or None where it was ended for a change."""
        # In a group of its own: a Ctrl-C would reach it twice, which Celery takes for "at once".
        self._worker = worker = subprocess.Popen(self._command, process_group=0)
        if self._told.is_set():
            worker.terminate()
        changed = False
        while True:
            try:
                returncode = worker.wait(POLL_SECONDS)
                break
            except subprocess.TimeoutExpired:
                if not changed and not self._told.is_set() and state_of(self._folder) != seen:
                    changed = True
                    worker.terminate()
        self._worker = None
        if self._told.is_set():
            return 0 if returncode == -signal.SIGTERM else exit_code(returncode)
        return None if changed else exit_code(returncode)

    def _await_change(self, seen: State) -> None:
        while not self._told.is_set() and state_of(self._folder) == seen:
            time.sleep(POLL_SECONDS)

    def _settled(self) -> State:
        """Return the state of the source once it has stopped changing: files are brought one after the other."""
        now = state_of(self._folder)
        while not self._told.is_set():
            before = now
            time.sleep(POLL_SECONDS)
            now = state_of(self._folder)
            if now == before:
                break
        return now

    def _end(self, _number: int, frame: FrameType | None) -> None:
        self._told.set()
        self._forward(signal.SIGTERM, frame)

    def _forward(self, number: int, _frame: FrameType | None) -> None:
        if self._worker is not None:
            self._worker.send_signal(number)


def _say(sentence: str) -> None:
    sys.stderr.write(f"{sentence}\n")
    sys.stderr.flush()
