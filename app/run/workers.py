"""`fleet worker`: a worker process for each queue, in the foreground."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from types import FrameType

from app.config import settings
from app.queues import Queue
from app.worker import check_settings


def command(queue: Queue) -> list[str]:
    """Return the command of one worker."""
    return [sys.executable, "-m", "app.worker", queue.value]


def run_workers(queues: Sequence[Queue]) -> int:
    """Work for `queues` until told to stop; for one queue this process becomes the worker.

    Where one of several workers ends by itself the others are ended too, so that whoever supervises this
    process learns of it.

    Returns:
        0 where all ended as told, else the first other exit code.

    Raises:
        SettingsError: where a worker could do nothing.
    """
    config = settings()
    check_settings(config)
    if len(queues) == 1:
        line = command(queues[0])
        os.execv(line[0], line)  # noqa: S606  # PID 1 stays PID 1 and gets the signals
    workers = [subprocess.Popen(command(queue)) for queue in queues]
    code = 0

    def forward(number: int, _frame: FrameType | None) -> None:
        for process in workers:
            if process.poll() is None:
                process.send_signal(number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, forward)
    ended: set[int] = set()
    while len(ended) < len(workers):
        pid, status = os.wait()
        ended.add(pid)
        for process in workers:
            if process.pid == pid:
                process.returncode = os.waitstatus_to_exitcode(status)
                code = code or abs(process.returncode)
        forward(signal.SIGTERM, None)
    return code
