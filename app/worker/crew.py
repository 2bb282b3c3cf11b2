"""`fleet worker`: one worker process per queue, in the foreground."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence

from app.config import settings
from app.queues import Queue
from app.runtime.signals import ENDING
from app.worker.main import check_settings


def command(queue: Queue) -> list[str]:
    """Return the command of one worker."""
    return [sys.executable, "-m", "app.worker", queue.value]


def run_workers(queues: Sequence[Queue]) -> int:
    """Run a worker for each queue until a signal stops them; for one queue this process becomes the worker.

    If one of several workers ends by itself, this process stops the others and exits, so that its supervisor notices.

    Returns:
        0 if all workers were stopped, else the first other exit code.

    Raises:
        SettingsError: a worker could do nothing with these settings.
    """
    config = settings()
    check_settings(config)
    if len(queues) == 1:
        line = command(queues[0])
        os.execv(line[0], line)  # noqa: S606  # PID 1 stays PID 1 and gets the signals
    return _Crew().work(queues)


class _Crew:
    """Several workers that stop together."""

    def __init__(self) -> None:
        self._workers: list[subprocess.Popen[bytes]] = []
        self._stopped = False

    def work(self, queues: Sequence[Queue]) -> int:
        """Start a worker for each queue and wait for all; return the exit code."""
        # Before the first worker starts: a signal in between would leave that running.
        for number in ENDING:
            signal.signal(number, self._stop)
        signal.signal(signal.SIGQUIT, lambda number, _frame: self._send(number))
        # Nobody writes to the pipe. If this process is killed, the pipe closes and the workers stop.
        lifeline, _ours = os.pipe()
        for queue in queues:
            # In a process group of its own, or a Ctrl-C would reach it twice: for Celery a cold shutdown.
            worker = subprocess.Popen([*command(queue), "--until-eof"], stdin=lifeline, process_group=0)
            self._workers.append(worker)
        if self._stopped:
            self._send(signal.SIGTERM)
        code = 0
        while any(worker.returncode is None for worker in self._workers):
            ended = self._reap()
            code = code or ended
            self._stop()
        return code

    def _reap(self) -> int:
        """Wait until a worker ends; return its exit code."""
        pid, status = os.wait()
        returncode = os.waitstatus_to_exitcode(status)
        for worker in self._workers:
            if worker.pid == pid:
                worker.returncode = returncode
        return exit_code(returncode, stopped=self._stopped)

    def _stop(self, *_: object) -> None:
        self._stopped = True
        self._send(signal.SIGTERM)

    def _send(self, number: int) -> None:
        for worker in self._workers:
            if worker.returncode is None:  # not reaped, so that no other process has its id
                os.kill(worker.pid, number)


def exit_code(returncode: int, *, stopped: bool) -> int:
    """Return a worker's exit code as a shell reports it: 128 + the number of the signal that killed it.

    It is 0 for a worker that SIGTERM `stopped` during its start, before it handles the signal.
    """
    if stopped and returncode == -signal.SIGTERM:
        return 0
    return 128 - returncode if returncode < 0 else returncode
