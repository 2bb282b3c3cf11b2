"""The tutorial against a real server and a real worker, as `make tutorial` runs it."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile

import psutil
import pytest
from celery import Celery, states
from celery.exceptions import TimeoutError as ResultTimeoutError
from celery.result import AsyncResult

from examples import client
from examples.math_tasks import EXPRESS_QUEUE, QUEUE, gate_key
from examples.serving import ROOT, WorkerError, server, worker
from tests.support.waiting import wait_for

TIMEOUT = 30
NOBODY = "redis://127.0.0.1:1/0"
"""An address without a server."""


def environ(**more: str) -> dict[str, str]:
    """Return this process's environment without FLEET_ settings, and with `more`."""
    return {name: value for name, value in os.environ.items() if not name.startswith("FLEET_")} | more


def examples(*module: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run the whole tutorial, or one of its modules, to its end."""
    return subprocess.run(
        [sys.executable, "-m", ".".join(("examples", *module))],
        cwd=ROOT,
        env=environ(**more),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def tutorial_url() -> Iterator[str]:
    with server() as url, TemporaryFile() as log, worker(url, log):
        yield url


@pytest.fixture(scope="module")
def tutorial_output(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The output of `python -m examples`, which must succeed and leave nothing behind."""
    folder = tmp_path_factory.mktemp("tutorial")
    run = examples(TMPDIR=str(folder))
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stderr == ""
    assert list(folder.iterdir()) == []
    return run.stdout


@pytest.fixture
def tutorial_app(tutorial_url: str) -> Iterator[Celery]:
    """A client that knows the tasks by name only."""
    with Celery(broker=tutorial_url, backend=tutorial_url, set_as_current=False) as app:
        app.conf.task_default_queue = QUEUE
        yield app
        app.backend.result_consumer.stop()
        app.backend.client.close()


def living(folder: Path) -> list[str]:
    """Return the processes of the run with this TMPDIR."""
    return [
        found.info["name"]
        for found in psutil.process_iter(["environ", "name"])
        if (found.info["environ"] or {}).get("TMPDIR") == str(folder)
    ]


def history(result: AsyncResult, *, gate: str | None = None) -> list[str]:
    """Return the states of a task; its gate is opened once it has started."""
    seen: list[str] = [result.state]

    def on_message(meta: dict[str, str]) -> None:
        if meta["status"] != seen[-1]:
            seen.append(meta["status"])
        if gate and meta["status"] == states.STARTED:
            result.backend.client.rpush(gate, "open")

    result.get(timeout=TIMEOUT, on_message=on_message, propagate=False)
    return seen


class TestOutput:
    @pytest.mark.parametrize(
        "line",
        [
            "add.delay(4, 4).get(timeout=10): 8",
            "ready(): True",
            'its send_task("math.add", args=[5, 5]).get(timeout=10): 10',
            "the other program has the tasks' code: False",
            "the same result, fetched here by its id: 10",
            "ready() right after sending: False",
            "add.apply_async((2, 3), countdown=1): 5",
            "done at least 1 s later: True",
            "add.apply_async((20, 3), eta=...): 23",
            "not before its eta: True",
            "add.apply_async((6, 7), queue='tutorial.express'): 13",
            "the queue it came through: tutorial.express",
            "the way it went: PENDING -> STARTED -> SUCCESS",
            "get() raised: ZeroDivisionError: division by zero",
            "state: FAILURE",
            "the worker's traceback ends in: ZeroDivisionError: division by zero",
            "the way it went: PENDING -> STARTED -> RETRY -> STARTED -> RETRY -> STARTED -> SUCCESS",
            "result: 45",
        ],
    )
    def test_says_what_happened(self, tutorial_output: str, line: str) -> None:
        assert f"   {line}\n" in tutorial_output

    def test_numbers_every_step(self, tutorial_output: str) -> None:
        assert re.findall(r"^(\d+)\. ", tutorial_output, re.MULTILINE) == [str(n) for n in range(1, 9)]
        assert tutorial_output.endswith("All 8 steps gave the expected results.\n")

    def test_shows_ids(self, tutorial_output: str) -> None:
        ids = re.findall(r"id: ([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})", tutorial_output)
        assert len(set(ids)) == 2


class TestTasks:
    """Each result once more, through a separate client and the same worker."""

    def test_adds(self, tutorial_app: Celery) -> None:
        result = tutorial_app.send_task("math.add", args=[4, 4])
        assert result.get(timeout=TIMEOUT) == 8
        assert result.ready()
        assert result.state == states.SUCCESS
        assert tutorial_app.AsyncResult(result.id).get(timeout=TIMEOUT) == 8

    def test_waits_for_its_countdown(self, tutorial_app: Celery) -> None:
        sent = datetime.now(UTC)
        result = tutorial_app.send_task("math.add", args=[1, 2], countdown=1)
        assert not result.ready()
        assert result.get(timeout=TIMEOUT) == 3
        assert result.date_done - sent >= timedelta(seconds=1)

    def test_waits_for_its_eta(self, tutorial_app: Celery) -> None:
        eta = datetime.now(UTC) + timedelta(seconds=0.5)
        result = tutorial_app.send_task("math.add", args=[3, 4], eta=eta)
        assert result.get(timeout=TIMEOUT) == 7
        assert result.date_done >= eta

    def test_comes_through_the_named_queue(self, tutorial_app: Celery) -> None:
        result = tutorial_app.send_task("math.add", args=[5, 6], queue=EXPRESS_QUEUE)
        assert result.get(timeout=TIMEOUT) == 11
        assert result.queue == EXPRESS_QUEUE

    def test_is_seen_started(self, tutorial_app: Celery) -> None:
        result = tutorial_app.send_task("math.gated_add", args=[7, 8], countdown=0.5)
        assert history(result, gate=gate_key(result.id)) == ["PENDING", "STARTED", "SUCCESS"]
        assert result.result == 15

    def test_is_not_taken_for_an_earlier_one(self, tutorial_app: Celery) -> None:
        earlier = tutorial_app.send_task("math.add", args=[1, 1])
        # Fetched apart from the subscription, on which the worker's reply is left unread.
        wait_for(lambda: tutorial_app.backend.get_task_meta(earlier.id, cache=False)["result"] == 2, "result")
        result = tutorial_app.send_task("math.gated_add", args=[7, 8], countdown=0.5)
        open_it = partial(tutorial_app.backend.client.rpush, gate_key(result.id), "open")
        assert client.states(result, on_started=open_it) == ["PENDING", "STARTED", "SUCCESS"]

    def test_fails_with_its_exception(self, tutorial_app: Celery) -> None:
        result = tutorial_app.send_task("math.divide", args=[1, 0])
        with pytest.raises(ZeroDivisionError, match=r"^division by zero$"):
            result.get(timeout=TIMEOUT)
        assert result.state == states.FAILURE
        assert "in divide" in result.traceback

    def test_is_retried_twice(self, tutorial_app: Celery) -> None:
        result = tutorial_app.send_task("math.flaky_add", args=[9, 10], countdown=0.5)
        attempt = ["STARTED", "RETRY"]
        assert history(result) == ["PENDING", *attempt, *attempt, "STARTED", "SUCCESS"]
        assert result.result == 19


class TestBadEndings:
    @pytest.mark.parametrize(("step", "number"), [("2. ", signal.SIGINT), ("3. ", signal.SIGTERM)])
    def test_ends_cleanly_when_interrupted(self, tmp_path: Path, step: str, number: signal.Signals) -> None:
        with subprocess.Popen(
            [sys.executable, "-m", "examples"],
            cwd=ROOT,
            env=environ(TMPDIR=str(tmp_path), PYTHONUNBUFFERED="1"),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as run:
            try:
                assert run.stdout is not None
                assert any(line.startswith(step) for line in run.stdout)
                assert len(living(tmp_path)) >= 5  # this one, the server, the worker, its pool, the client
                # Like a terminal: to the whole group, which includes the server.
                os.killpg(run.pid, number)
                rest = run.stdout.read()
                assert run.wait(60) == 128 + number
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(run.pid, signal.SIGKILL)
        assert "Traceback" not in rest
        assert living(tmp_path) == []
        assert list(tmp_path.iterdir()) == []

    def test_says_that_the_server_is_not_there(self) -> None:
        run = examples(FLEET_REDIS_URL=NOBODY)
        assert run.returncode == 1
        assert run.stderr.startswith("The server at FLEET_REDIS_URL cannot be used: ")
        assert "Traceback" not in run.stderr

    def test_client_says_that_the_server_is_not_there(self) -> None:
        run = examples("client", FLEET_REDIS_URL=NOBODY)
        assert run.returncode == 1
        assert "\nStep 1 (delay: send a task) went wrong: the server cannot be reached" in run.stdout
        assert "Traceback" not in run.stdout

    @pytest.mark.parametrize(
        ("step", "reason"),
        [
            (lambda: client.check("4 + 4", 9, 8), "4 + 4 should be 8, but is 9"),
            (lambda: raising(ResultTimeoutError()), "no result within 10 s (is the worker still running?)"),
        ],
    )
    def test_client_says_which_step_went_wrong(
        self,
        step: Callable[[], None],
        reason: str,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setattr(client, "STEPS", (("good", raising), ("bad", step), ("never reached", step)))
        assert client.main() == 1
        assert capsys.readouterr().out.endswith(f"\nStep 2 (bad) went wrong: {reason}.\n")

    def test_a_worker_that_ends_at_once_is_reported(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CELERY_WORKDIR", "/nowhere")
        with server() as url, TemporaryFile() as log:
            with pytest.raises(WorkerError, match="ended before it was ready"), worker(url, log):
                pytest.fail("a worker without its folder cannot be ready")
            log.seek(0)
            assert b"/nowhere" in log.read()


def raising(error: Exception | None = None) -> None:
    """Return a step that raises `error`, if any."""
    if error is not None:
        raise error
