"""`app.worker.reload`: a real process that is restarted when its source changes."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.errors import FleetError
from app.worker.reload import run_reloading
from tests.support.waiting import wait_for

END_SECONDS = 60.0
RELOADER = """
import sys
from pathlib import Path
from app.worker.reload import run_reloading
sys.exit(run_reloading(sys.argv[2:], Path(sys.argv[1])))
"""
WORKER = """
import signal, sys
sys.path.insert(0, sys.argv[1])
sys.dont_write_bytecode = True
# Blocked and then taken one by one: a handler's signal may arrive just before the call that waits for one.
signals = {signal.SIGTERM, signal.SIGQUIT}
signal.pthread_sigmask(signal.SIG_BLOCK, signals)
import edited
print("works with", edited.VALUE, flush=True)
while signal.sigwait(signals) == signal.SIGQUIT:
    print("quit", flush=True)
print("ended warm", flush=True)
sys.exit(int(sys.argv[2]))
"""


class Run:
    """A reloader over a worker that says the value of an edited file."""

    def __init__(self, folder: Path, value: str, *, exit_code: int = 0) -> None:
        self.file = folder / "edited.py"
        self.file.write_text(value)
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-c", RELOADER, folder, sys.executable, "-c", WORKER, folder, str(exit_code)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        self.lines.extend(line.strip() for line in self.process.stdout)

    def await_line(self, line: str) -> None:
        wait_for(lambda: any(line in seen for seen in self.lines), line)

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.ended()

    def ended(self) -> int:
        code = self.process.wait(END_SECONDS)
        self._reader.join()
        return code

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.ended()
        assert self.process.stdout
        self.process.stdout.close()


@pytest.fixture
def runs() -> Iterator[list[Run]]:
    started: list[Run] = []
    yield started
    for run in started:
        run.close()


def start(runs: list[Run], folder: Path, value: str, *, exit_code: int = 0) -> Run:
    runs.append(Run(folder, value, exit_code=exit_code))
    return runs[-1]


def test_an_edit_is_taken_up_by_a_new_worker(runs: list[Run], tmp_path: Path) -> None:
    run = start(runs, tmp_path, "VALUE = 1")
    run.await_line("works with 1")
    run.file.write_text("VALUE = 2  # longer")
    run.await_line("works with 2")
    assert run.end() == 0
    assert [line for line in run.lines if line.startswith(("works", "ended"))] == [
        "works with 1",
        "ended warm",
        "works with 2",
        "ended warm",
    ]


def test_an_edit_that_cannot_run_waits_for_the_next(runs: list[Run], tmp_path: Path) -> None:
    run = start(runs, tmp_path, "VALUE = 1")
    run.await_line("works with 1")
    run.file.write_text("VALUE = (")
    run.await_line("it restarts after the next edit")
    assert run.process.poll() is None
    run.file.write_text("VALUE = 3")
    run.await_line("works with 3")
    assert run.end() == 0


def test_it_can_be_ended_while_it_waits_for_an_edit(runs: list[Run], tmp_path: Path) -> None:
    run = start(runs, tmp_path, "VALUE = 1")
    run.await_line("works with 1")
    run.file.write_text("VALUE = (")
    run.await_line("it restarts after the next edit")
    assert run.end() == 0
    assert "has changed" not in run.lines[-1]


def test_a_worker_that_ends_by_itself_ends_the_command(runs: list[Run], tmp_path: Path) -> None:
    run = start(runs, tmp_path, "raise SystemExit(7)")
    assert run.ended() == 7


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_the_worker_ends_warm_and_its_exit_code_is_passed_on(
    runs: list[Run], tmp_path: Path, number: int
) -> None:
    run = start(runs, tmp_path, "VALUE = 1", exit_code=5)
    run.await_line("works with 1")
    assert run.end(number) == 5
    assert run.lines == ["works with 1", "ended warm"]


def test_sigquit_reaches_the_worker(runs: list[Run], tmp_path: Path) -> None:
    run = start(runs, tmp_path, "VALUE = 1")
    run.await_line("works with 1")
    run.process.send_signal(signal.SIGQUIT)
    run.await_line("quit")
    assert run.end() == 0


def test_only_source_counts(runs: list[Run], tmp_path: Path) -> None:
    run = start(runs, tmp_path, "VALUE = 1")
    run.await_line("works with 1")
    (tmp_path / "edited.pyc").write_text("no source")
    (tmp_path / "pack").mkdir()
    run.file.write_text("VALUE = 2")
    run.await_line("works with 2")
    (tmp_path / "pack" / "step.lua").write_text("return 1")
    wait_for(lambda: run.lines.count("works with 2") == 2, "a third start")
    assert run.end() == 0
    assert run.lines.count("ended warm") == 3


def test_polling_sees_an_edit_without_an_event(
    runs: list[Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHFILES_FORCE_POLLING", "1")
    run = start(runs, tmp_path, "VALUE = 1")
    run.await_line("works with 1")
    run.file.write_text("VALUE = 2")
    later = time.time() + 10  # polling compares whole seconds
    os.utime(run.file, (later, later))
    run.await_line("works with 2")
    assert run.end() == 0


def test_a_missing_watchfiles_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    with pytest.raises(FleetError, match=r"pip install 'pdf-fleet\[reload\]'"):
        run_reloading(["true"], tmp_path)
