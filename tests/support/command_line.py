"""The real command line as subprocesses, and the files that it is given."""

import os
import signal
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
import psutil
import pytest

from app.cli.main import main
from app.config import settings
from app.producer.synthesis import synthesise
from app.runtime.signals import ENDING
from tests.support.measuring import would_hang

PATIENCE_SECONDS = 180.0
SETTINGS_OF_OTHERS = ("FLEET_", "CELERY_", "AWS_", "PDF_PASSWORD", "COLUMNS")
GOOD, SCAN, ENCRYPTED, MALFORMED, IMAGE = 0, 3, 13, 29, 33
"""Numbers of synthetic documents of seed 7, by their kind."""


def wait_for(condition: Callable[[], Any], what: str, *, seconds: float = PATIENCE_SECONDS) -> Any:
    """Return what `condition` returns once it holds; another process can only be looked at again and again."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what} did not come to pass in {seconds:g} s"
        time.sleep(0.02)
    return found


@contextmanager
def handlers_kept() -> Iterator[None]:
    """Put this process's handlers of the signals that end a command back at the end of the body."""
    before = {number: signal.getsignal(number) for number in ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def document(number: int) -> bytes:
    return synthesise(7, number).data


@lru_cache
def slow_document(curves: int = 60_000) -> bytes:
    """Return a PDF of one page whose picture takes seconds, and whose text none."""
    path = b"".join(
        b"%d %d m %d %d %d %d %d %d c S\n"
        % (i % 600, i * 7 % 800, i * 13 % 600, i * 3 % 800, i * 11 % 600, i * 17 % 800, i % 599, i % 797)
        for i in range(curves)
    )
    content = zlib.compress(path)
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents 4 0 R>>",
        b"<</Length %d/Filter/FlateDecode>>stream\n%b\nendstream" % (len(content), content),
    ]
    data, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(data))
        data += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    return (
        data
        + b"xref\n0 5\n0000000000 65535 f \n%btrailer\n<</Root 1 0 R/Size 5>>\nstartxref\n%d\n%%%%EOF\n"
        % (
            table,
            len(data),
        )
    )


def folder_of(place: Path, *numbers: int) -> Path:
    """Write synthetic documents into a folder, named by their numbers."""
    place.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        (place / f"{number:04}.pdf").write_bytes(document(number))
    return place


def index_of(output: Path) -> list[dict[str, Any]]:
    return [msgspec.json.decode(line) for line in (output / "index.jsonl").read_bytes().splitlines()]


class Running:
    """A command that runs; ended, with all it started, at the end of a `with`."""

    def __init__(self, command: list[str], environment: dict[str, str], log: Path) -> None:
        self.out, self.err = log.with_suffix(".out"), log.with_suffix(".err")
        self._command, self._environment = command, environment
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(command, env=environment, stdout=out, stderr=err)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            hangs = would_hang(self._command, self._environment, signal.SIGTERM)
            self.process.send_signal(signal.SIGKILL if hangs else signal.SIGTERM)
        self.wait()

    @property
    def lines(self) -> list[str]:
        """What stands on standard output."""
        return self.out.read_text().splitlines()

    @property
    def errors(self) -> str:
        return self.err.read_text(errors="replace")

    def send(self, number: signal.Signals) -> None:
        hangs = would_hang(self._command, self._environment, number)
        assert not hangs, (
            f"A command that measures its coverage is sent {number.name}: it must not be `counted`."
        )
        self.process.send_signal(number)

    def wait(self, seconds: float = PATIENCE_SECONDS) -> int:
        """Return the exit code; whatever happened, nobody may have seen a traceback."""
        try:
            code = self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            calls = ""
            with suppress(OSError):  # it may not be ours to see, or a thread end meanwhile
                for task in sorted(Path(f"/proc/{self.process.pid}/task").glob("*")):
                    calls += f"{task.name}: {(task / 'syscall').read_text()}"
            self.send(signal.SIGABRT)  # it says where each of its threads stands: PYTHONFAULTHANDLER
            self.process.wait()
            raise AssertionError(f"It did not end in {seconds:g} s.\n{calls}{self.errors}") from None
        assert "Traceback" not in self.errors, self.errors
        return code


class Commands:
    """Runs `fleet` with a TMPDIR of its own, by which all that a command leaves behind is found."""

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
        """Do as `run`, but in this process: for what is said before anything was started, and its exit code."""
        self._count += 1
        log = self.logs / f"command-{self._count}"
        out, err = log.with_suffix(".out"), log.with_suffix(".err")
        with (
            handlers_kept(),
            pytest.MonkeyPatch.context() as patch,
            out.open("w") as written,
            err.open("w") as said,
        ):
            for name in set(os.environ) - set(self.environment):
                patch.delenv(name)
            for name, value in {**self.environment, **variables}.items():
                patch.setenv(name, value)
            settings.cache_clear()
            patch.setattr(tempfile, "tempdir", None)  # where TMPDIR led before
            patch.setattr(sys, "argv", ["fleet", *map(str, arguments)])
            code: object = 0
            try:
                with redirect_stdout(written), redirect_stderr(said):
                    main()
            except SystemExit as ended:  # any other exception would have been a traceback
                code = ended.code or 0
            finally:
                settings.cache_clear()
        assert isinstance(code, int)
        return code, out.read_text().splitlines(), err.read_text()

    def processes(self) -> list[psutil.Process]:
        """All that was started here and still lives."""
        return [process for process in psutil.process_iter() if self._ours(process)]

    def _ours(self, process: psutil.Process) -> bool:
        try:
            words = [*process.cmdline(), *process.environ().values()]
            return process.status() != psutil.STATUS_ZOMBIE and any(str(self.place) in word for word in words)
        except psutil.Error:
            return False

    def left(self) -> list[object]:
        """Processes and folders of runs that are still there."""
        return [*self.processes(), *self.place.glob("pdf-fleet-*")]


def kill_all(processes: Iterable[psutil.Process]) -> None:
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
