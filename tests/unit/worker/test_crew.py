"""`app.worker.crew`: several processes that stop together."""

import signal
import subprocess
import sys

import pytest

CREW = """
import sys
from app.queues import Queue
from app.worker import crew

workers = dict(zip((Queue.PDF, Queue.OCR), sys.argv[1:]))
crew.command = lambda queue: [sys.executable, "-c", workers[queue]]
sys.exit(crew._Crew().work(list(workers)))
"""
STARTING = "import time; time.sleep(60)"
"""A worker that does not handle SIGTERM yet."""
READY = "import signal; signal.signal(15, lambda *_: exit(0)); print('ready', flush=True); signal.pause()"


def crew(*workers: str) -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, "-c", CREW, *workers], stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("code", [0, 7])
@pytest.mark.parametrize("other", [STARTING, READY], ids=["starting", "ready"])
def test_the_exit_code_is_that_of_the_worker_that_ended_by_itself(code: int, other: str) -> None:
    with crew(f"raise SystemExit({code})", other) as process:
        assert process.wait(60) == code


def test_a_crew_that_a_signal_stops_exits_with_0() -> None:
    with crew(STARTING, READY) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def test_a_worker_that_is_killed_ends_the_crew_with_its_signal() -> None:
    with crew("import os; os.kill(os.getpid(), 9)", STARTING) as process:
        assert process.wait(60) == 128 + signal.SIGKILL
