"""`fleet worker --reload`: a worker that is restarted when its source changes, for development."""

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
"""An edit is complete when no further file has changed for this long ..."""
MAX_EDIT_MILLISECONDS = 30_000
"""... or when it has lasted this long."""


def run_reloading(command: Sequence[str], folder: Path = SOURCE) -> int:
    """Run a worker, and restart it after each edit of its source.

    The worker gets a SIGTERM, so that it finishes the document in progress. If it then cannot start, the next edit
    starts it again. Set WATCHFILES_FORCE_POLLING=1 if the file system sends no events, as some mounted ones do.

    Args:
        command: Starts the worker.
        folder: Its source.

    Returns:
        The worker's exit code as a shell reports it, once a signal ends this process or the worker ends before the
        first edit; 0 if the signal came while no worker could run.

    Raises:
        FleetError: watchfiles is not installed.
    """
    return _Reloader(command).run(folder)


class _Reloader:
    def __init__(self, command: Sequence[str]) -> None:
        self._command = list(command)
        self._worker: subprocess.Popen[bytes] | None = None
        self._stopped = threading.Event()

    def run(self, folder: Path) -> int:
        try:
            from watchfiles import watch  # noqa: PLC0415  # an image for production is without it
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
            next(edits, None)  # the watch begins before the worker does: it misses no edit
        except RuntimeError as error:  # no inotify instance is left, for example
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
                _say("The source has changed: the worker starts again.")
                worker, edited, failed = self._start(), True, False
            elif not failed and (code := worker.poll()) is not None:
                if not edited:
                    return exit_code(code)
                failed = True
                _say(f"The worker ended with {code}; it starts again after the next edit.")
        code = worker.wait()
        # A worker that is still starting has no handler yet: SIGTERM kills it.
        return 0 if failed or code == -signal.SIGTERM else exit_code(code)

    def _start(self) -> "subprocess.Popen[bytes]":
        # In a group of its own: a Ctrl-C would reach it twice, which Celery takes for a cold shutdown.
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
