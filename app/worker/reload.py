"""`fleet worker --reload`, for development: a worker that restarts when its source changes."""

import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from app.errors import FleetError
from app.runtime.signals import ENDING
from app.worker.crew import exit_code

SOURCE = Path(__file__).resolve().parents[1]
"""The package `app`."""
SUFFIXES = (".py", ".lua")
QUIET_MILLISECONDS = 300
"""Time without a further change after which an edit is complete."""
MAX_EDIT_MILLISECONDS = 30_000
"""Time after which an edit is complete although files go on changing."""


def run_reloading(command: Sequence[str], folder: Path = SOURCE) -> int:
    """Run a worker, and restart it after each edit of its source.

    SIGTERM stops the worker, so that it finishes the document in progress. If the next one cannot start, the next edit
    starts another. Set WATCHFILES_FORCE_POLLING=1 if the file system sends no events, as some mounted ones do not.

    Args:
        command: The command of the worker.
        folder: The folder of its source.

    Returns:
        The worker's exit code as a shell reports it, after a signal to this process, or if the worker ends before the
        first edit; 0 if no worker ran at the time of the signal.

    Raises:
        FleetError: watchfiles is not installed, or cannot watch the folder.
    """
    return _Reloader(command).run(folder)


class _Reloader:
    def __init__(self, command: Sequence[str]) -> None:
        self._command = list(command)
        self._worker: subprocess.Popen[bytes] | None = None
        self._stopped = threading.Event()

    def run(self, folder: Path) -> int:
        try:
            from watchfiles import watch  # noqa: PLC0415  # not in an image for production
        except ModuleNotFoundError:
            raise FleetError("watchfiles is not installed: pip install 'pdf-fleet[reload]'.") from None
        for number in ENDING:
            signal.signal(number, self._stop)
        signal.signal(signal.SIGQUIT, self._forward)
        edits = watch(
            folder,
            watch_filter=lambda _change, path: path.endswith(SUFFIXES),
            debounce=MAX_EDIT_MILLISECONDS,
            step=QUIET_MILLISECONDS,
            rust_timeout=QUIET_MILLISECONDS,
            yield_on_timeout=True,
            stop_event=self._stopped,
        )
        try:
            next(edits, None)  # the watch begins before the worker, so that it misses no edit
        except RuntimeError as error:  # for example, no inotify instance is left
            raise FleetError(
                f"The source cannot be watched ({error}): raise fs.inotify.max_user_instances, or set "
                "WATCHFILES_FORCE_POLLING=1."
            ) from None
        worker = self._start()
        edited = failed = False
        for changes in edits:
            if changes:
                worker.terminate()
                worker.wait()
                if self._stopped.is_set():
                    break
                _say("The source has changed: the worker restarts.")
                worker, edited, failed = self._start(), True, False
            elif not failed and (code := worker.poll()) is not None:
                if not edited:
                    return exit_code(code, stopped=False)
                failed = True
                _say(f"The worker ended with {code}; it restarts after the next edit.")
        return 0 if failed else exit_code(worker.wait(), stopped=True)

    def _start(self) -> "subprocess.Popen[bytes]":
        # In a process group of its own, or a Ctrl-C would reach it twice: for Celery a cold shutdown.
        self._worker = subprocess.Popen(self._command, process_group=0)
        if self._stopped.is_set():
            self._worker.terminate()
        return self._worker

    def _stop(self, _number: int, frame: FrameType | None) -> None:
        self._stopped.set()
        self._forward(signal.SIGTERM, frame)

    def _forward(self, number: int, _frame: FrameType | None) -> None:
        if self._worker is not None:
            self._worker.send_signal(number)


def _say(sentence: str) -> None:
    sys.stderr.write(f"{sentence}\n")
    sys.stderr.flush()
