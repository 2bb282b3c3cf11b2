import copy
import socket
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError

from app.config import Settings
from app.errors import ServerError, ServerRefusedError, SettingsError
from app.ledger.connection import FleetRetry, connect, masked


class Failing:
    """A command that fails `times` times, and then answers."""

    def __init__(self, times: int) -> None:
        self.left = times

    def __call__(self) -> str:
        if self.left:
            self.left -= 1
            raise RedisConnectionError("gone")
        return "answer"


def ignore(_error: Exception) -> None:
    """Stands for redis-py's own handling of a failure, which closes the connection."""


def test_a_command_that_fails_often_enough_is_a_server_error_with_its_address() -> None:
    retry = FleetRetry("redis://there", 0)
    with pytest.raises(ServerError, match=r"No Redis server answers at redis://there \(gone\)"):
        retry.call_with_retry(Failing(1), ignore)
    assert retry.call_with_retry(Failing(0), ignore) == "answer"


def test_on_error_is_called_for_each_failure_and_may_give_up() -> None:
    heard: list[tuple[ServerError, float]] = []

    def decide(error: ServerError, seconds: float) -> None:
        heard.append((error, seconds))
        if len(heard) > 3:
            raise error

    retry = FleetRetry("redis://there", 0, decide)
    assert retry.call_with_retry(Failing(3), ignore) == "answer"
    assert [seconds for _, seconds in heard] == sorted(seconds for _, seconds in heard)
    with pytest.raises(ServerError):
        retry.call_with_retry(Failing(1), ignore)


def test_a_connection_that_is_made_for_a_command_counts_as_part_of_it() -> None:
    retry = FleetRetry("redis://there", 1)
    inner = Failing(2)
    # The inner call uses up its own tries and fails as redis-py does, so that the outer one tries again.
    assert retry.call_with_retry(lambda: retry.call_with_retry(inner, ignore), ignore) == "answer"


def test_a_missing_script_is_left_to_redis_py() -> None:
    def missing() -> None:
        raise NoScriptError("no matching script")

    with pytest.raises(NoScriptError):
        FleetRetry("redis://there", 0).call_with_retry(missing, ignore)


def test_each_connection_has_a_policy_of_its_own_with_the_same_on_error() -> None:
    heard: list[ServerError] = []
    one = FleetRetry("redis://there", 0, lambda error, _seconds: heard.append(error))
    assert copy.deepcopy(one).call_with_retry(Failing(2), ignore) == "answer"
    assert len(heard) == 2


def test_a_command_that_the_server_refuses_is_not_repeated(redis_url: str) -> None:
    with connect(Settings(redis_url=redis_url)) as client:
        client.set("word", "x")
        with pytest.raises(ServerRefusedError, match=r"refuses a command: .*not an integer"):
            client.incr("word")


def hang_up_after_the_handshake(listener: socket.socket) -> None:
    """Answer what redis-py sends first on each connection, and close it before any command."""
    hello = b"%2\r\n$5\r\nproto\r\n:3\r\n$6\r\nserver\r\n$5\r\nredis\r\n"
    with suppress(OSError):  # the test is over
        while True:
            connection, _ = listener.accept()
            with connection:
                while received := connection.recv(65_536).upper():
                    others = received.count(b"SETINFO") + received.count(b"MAINT_NOTIF")
                    connection.sendall(hello * (b"HELLO" in received) + b"+OK\r\n" * others)
                    if b"SETINFO" in received and b"VER" in received:
                        break


def test_a_server_that_dies_right_after_the_handshake_is_a_server_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=hang_up_after_the_handshake, args=(listener,), daemon=True).start()
        config = Settings(redis_url=f"redis://127.0.0.1:{listener.getsockname()[1]}/0")
        for _ in range(5):
            with connect(config, retries=0) as client, pytest.raises(ServerError):
                client.ping()


def test_an_address_that_cannot_be_used_is_refused_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"'http://:\*\*\*@there' cannot be used"):
        connect(Settings(redis_url="http://:secret@there"))
    with pytest.raises(SettingsError, match="FLEET_REDIS_CA_FILE"):
        connect(Settings(redis_url="rediss://there", redis_ca_file=str(tmp_path / "none")))
    assert masked("redis://user:secret@there:1/0") == "redis://user:***@there:1/0"
