"""Celery beat as a process, with the fleet's settings, on a real server."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest
import redis

from app.config import Settings
from app.ledger.ledger import Ledger
from app.ledger.message import new_id
from app.ledger.models import Document, Submission
from app.local.fleet import environment_of
from app.queues import Queue
from tests.support.waiting import wait_for

LOCK = "fleet:beat::lock"


@pytest.fixture
def config(redis_url: str, tmp_path: Path) -> Settings:
    return Settings(
        redis_url=redis_url, store_url=f"file://{tmp_path}/store", log_level="INFO", reconcile_seconds=0.5
    )


class Beats:
    """Starts beats and reads their logs."""

    def __init__(self, config: Settings, folder: Path, stack: ExitStack) -> None:
        self.config, self.folder, self._stack = config, folder, stack

    def start(self, name: str, *command: str) -> "subprocess.Popen[bytes]":
        config = msgspec.structs.replace(self.config, heartbeat_file=str(self.alive(name)))
        with self.log(name).open("wb") as log:
            beat = subprocess.Popen(
                [sys.executable, "-m", *(command or ("app.cli.main", "beat"))],
                env=environment_of(config, os.environ),
                stdout=log,
                stderr=log,
            )
        self._stack.callback(beat.wait)
        self._stack.callback(beat.kill)
        return beat

    def alive(self, name: str) -> Path:
        return self.folder / f"{name}.alive"

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def until_alive(self, name: str) -> None:
        wait_for(self.alive(name).exists, f"a beat; {self.log(name).read_text()}")


@pytest.fixture
def beats(config: Settings, tmp_path: Path) -> Iterator[Beats]:
    with ExitStack() as stack:
        yield Beats(config, tmp_path, stack)


def test_beat_reconciles_without_a_message_or_a_worker(
    beats: Beats, ledger: Ledger, client: redis.Redis
) -> None:
    beats.config = msgspec.structs.replace(beats.config, reconcile_after_seconds=0.5)
    ledger.open("b", Queue.PDF, [Submission(document_id="d", source="x.pdf")])
    client.delete("pdf")
    beats.start("one")
    wait_for(lambda: client.llen("pdf") == 1, "the lost message")
    assert client.llen("default") == 0


def test_beat_ends_pauses(beats: Beats, ledger: Ledger, client: redis.Redis) -> None:
    ledger.open("b", Queue.PDF, [Submission(document_id="d", source="x.pdf")])
    document = ledger.start("d", queue=Queue.PDF, worker="w")
    assert isinstance(document, Document)
    ledger.defer(document, code="storage_unavailable", message="away", pause=1.0)
    client.delete("pdf")
    beats.start("one")
    wait_for(lambda: client.llen("pdf") == 1, "the document that is due")


def test_a_second_beat_waits_for_the_first(beats: Beats, client: redis.Redis) -> None:
    first = beats.start("first")
    beats.until_alive("first")
    token = client.get(LOCK)
    second = beats.start("second")
    wait_for(lambda: "beat: Starting" in beats.log("second").read_text(), "the second beat's start")
    left = client.pttl(LOCK)
    wait_for(lambda: client.pttl(LOCK) > left, "the first one's next poll")
    assert client.get(LOCK) == token
    assert not beats.alive("second").exists()
    first.send_signal(signal.SIGTERM)
    assert first.wait(timeout=20) == 0, beats.log("first").read_text()
    beats.until_alive("second")
    assert client.get(LOCK) not in {None, token}
    assert second.poll() is None


def test_a_killed_beats_lock_expires(beats: Beats, client: redis.Redis) -> None:
    beat = beats.start("one")
    beats.until_alive("one")
    beat.kill()
    beat.wait()
    assert 0 < client.pttl(LOCK) <= 20_000


def test_celerys_own_command_starts_the_same(beats: Beats, client: redis.Redis) -> None:
    beats.start("one", "celery", "-A", "app.celery_app", "beat")
    beats.until_alive("one")
    assert client.exists(LOCK)


def test_a_beat_without_a_server_says_so(beats: Beats) -> None:
    beats.config = msgspec.structs.replace(beats.config, redis_url="")
    assert beats.start("one").wait(timeout=20) == 2
    assert "Set FLEET_REDIS_URL" in beats.log("one").read_text()


def test_an_entry_of_the_schedule_is_sent(
    monkeypatch: pytest.MonkeyPatch, redis_url: str, client: redis.Redis
) -> None:
    from app.worker.celery_app import build_app

    monkeypatch.setenv("FLEET_REDIS_URL", redis_url)
    monkeypatch.setenv("FLEET_STORE_URL", "file:///nowhere")
    from app.config import settings
    from app.worker import beat

    settings.cache_clear()
    try:
        app = build_app(settings())
        app.conf.beat_schedule = {
            "other": {"task": f"test.{new_id()}", "schedule": 0.2, "options": {"queue": "default"}}
        }
        scheduler = beat.Scheduler(app, lock_key=None)
        scheduler.lock_key = None
        wait_for(lambda: scheduler.tick() > 0 and client.llen("default") == 1, "its turn")
    finally:
        settings.cache_clear()
