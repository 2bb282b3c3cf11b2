"""The real command line as subprocesses."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr, redirect_stdout, suppress
from multiprocessing import resource_tracker
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
import psutil
import pytest

from app.cli.main import main
from app.config import settings
from tests.support.signals import handlers_kept
from tests.support.waiting import TIMEOUT_SECONDS

SETTINGS_OF_OTHERS = ("FLEET_", "CELERY_", "AWS_", "PDF_PASSWORD", "COLUMNS")


def index_of(output: Path) -> list[dict[str, Any]]:
    return [msgspec.json.decode(line) for line in (output / "index.jsonl").read_bytes().splitlines()]


class Running:
    """A running command; the end of a `with` stops it and waits for it."""

    def __init__(self, command: list[str], environment: dict[str, str], log: Path) -> None:
        self.out, self.err = log.with_suffix(".out"), log.with_suffix(".err")
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(command, env=environment, stdout=out, stderr=err)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.wait()

    @property
    def lines(self) -> list[str]:
        """The lines of standard output so far."""
        return self.out.read_text().splitlines()

    @property
    def errors(self) -> str:
        return self.err.read_text(errors="replace")

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self, seconds: float = TIMEOUT_SECONDS) -> int:
        """Return the exit code; fail if the command printed a traceback or does not end in time."""
        try:
            code = self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            calls = ""
            with suppress(OSError):  # not permitted, or a thread has ended meanwhile
                for task in sorted(Path(f"/proc/{self.process.pid}/task").glob("*")):
                    calls += f"{task.name}: {(task / 'syscall').read_text()}"
            self.send(signal.SIGABRT)  # PYTHONFAULTHANDLER prints the stack of each thread
            self.process.wait()
            raise AssertionError(f"It did not end in {seconds:g} s.\n{calls}{self.errors}") from None
        assert "Traceback" not in self.errors, self.errors
        return code


class Commands:
    """Runs `fleet` with a TMPDIR of its own; processes and folders that a command leaves behind are found by it."""

    def __init__(self, place: Path, logs: Path, cache: Path) -> None:
        self.place = place
        self.logs = logs
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith(SETTINGS_OF_OTHERS)
        }
        self.environment |= {"TMPDIR": str(place), "XDG_CACHE_HOME": str(cache), "PYTHONFAULTHANDLER": "1"}
        self._count = 0

    def start(self, *arguments: object, **variables: str) -> Running:
        self._count += 1
        command = [sys.executable, "-m", "app.cli.main", *map(str, arguments)]
        return Running(command, {**self.environment, **variables}, self.logs / f"command-{self._count}")

    def run(self, *arguments: object, **variables: str) -> tuple[int, list[str], str]:
        """Return exit code, lines of standard output, and standard error."""
        running = self.start(*arguments, **variables)
        code = running.wait()
        return code, running.lines, running.errors

    def run_here(self, *arguments: object, **variables: str) -> tuple[int, list[str], str]:
        """Do as `run`, but in this process, whose coverage is measured."""
        return self.run_beside(lambda: None, *arguments, **variables)

    def run_beside(
        self, call: Callable[[], object], /, *arguments: object, **variables: str
    ) -> tuple[int, list[str], str]:
        """Do as `run_here`, with `call` in a thread meanwhile; its exception stops the command and is raised."""
        # multiprocessing's tracker outlives the command, and would count as left behind if the command started it.
        resource_tracker.ensure_running()
        self._count += 1
        log = self.logs / f"command-{self._count}"
        out, err = log.with_suffix(".out"), log.with_suffix(".err")
        with (
            handlers_kept(),
            ThreadPoolExecutor(1) as threads,
            pytest.MonkeyPatch.context() as patch,
            out.open("w") as written,
            err.open("w") as errors,
        ):
            for name in set(os.environ) - set(self.environment):
                patch.delenv(name)
            for name, value in {**self.environment, **variables}.items():
                patch.setenv(name, value)
            settings.cache_clear()
            patch.setattr(tempfile, "tempdir", None)  # computed from the previous TMPDIR
            patch.setattr(sys, "argv", ["fleet", *map(str, arguments)])
            code: object = 0
            called = threads.submit(stopping_on_error, call)
            try:
                with redirect_stdout(written), redirect_stderr(errors):
                    main()
            except SystemExit as ended:  # any other exception would have been a traceback
                code = ended.code or 0
            finally:
                settings.cache_clear()
        called.result()
        assert isinstance(code, int)
        return code, out.read_text().splitlines(), err.read_text()

    def processes(self) -> list[psutil.Process]:
        """Return the processes started here that still run."""
        return [process for process in psutil.process_iter() if self._ours(process)]

    def _ours(self, process: psutil.Process) -> bool:
        try:
            words = [*process.cmdline(), *process.environ().values()]
            return process.status() != psutil.STATUS_ZOMBIE and any(str(self.place) in word for word in words)
        except psutil.Error:
            return False

    def left(self) -> list[object]:
        """Return remaining processes and folders of runs."""
        return [*self.processes(), *self.place.glob("pdf-fleet-*")]


def stopping_on_error(call: Callable[[], object]) -> None:
    """Call `call`; if it raises, stop the command that runs in this process."""
    try:
        call()
    except BaseException:
        os.kill(os.getpid(), signal.SIGTERM)  # a command that has ended ignores it
        raise


def kill_all(processes: Iterable[psutil.Process]) -> None:
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
