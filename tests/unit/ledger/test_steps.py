import threading
from pathlib import Path

import pytest
import redis

from app.errors import ServerError
from app.ledger.connection import connect
from app.ledger.steps import Steps

SOURCES = {"count": "return redis.call('INCR', ARGV[1])", "echo": "return ARGV[1]"}


@pytest.fixture
def steps(client: redis.Redis) -> Steps:
    return Steps(client, SOURCES)


def connections(client: redis.Redis) -> int:
    return len(client.client_list())


def test_steps_go_over_one_connection(steps: Steps, client: redis.Redis) -> None:
    before = connections(client)
    for number in range(1, 6):
        assert steps.run("count", ["n"]) == number
    assert steps.run("echo", ["with a \n line end"]) == "with a \n line end"
    assert connections(client) == before + 1


def test_a_server_that_lost_the_scripts_gets_them_again(steps: Steps, client: redis.Redis) -> None:
    steps.run("count", ["n"])
    client.script_flush()
    assert [steps.run("count", ["n"]) for _ in range(2)] == [2, 3]


def test_a_connection_that_was_cut_is_made_again(steps: Steps, client: redis.Redis) -> None:
    steps.run("count", ["n"])
    client.client_kill_filter(_type="normal", skipme=True)
    before = connections(client)
    assert [steps.run("count", ["n"]) for _ in range(2)] == [2, 3]
    assert connections(client) == before + 1


def test_an_error_of_the_step_itself_is_the_callers(steps: Steps, client: redis.Redis) -> None:
    client.set("n", "no number")
    for _ in range(2):  # before and after a connection is kept
        with pytest.raises(redis.ResponseError, match="not an integer"):
            steps.run("count", ["n"])
    assert steps.run("echo", ["still well"]) == "still well"


def test_a_reply_that_a_signal_kept_from_being_read_is_not_the_next_steps(
    steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps.run("echo", ["first"])

    def stopped() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as signalled:
        signalled.setattr(steps._connection, "read_response", stopped)
        with pytest.raises(KeyboardInterrupt):
            steps.run("echo", ["unread"])
    assert [steps.run("echo", [text]) for text in ("second", "third")] == ["second", "third"]


def test_threads_lose_nothing_to_each_other(steps: Steps, client: redis.Redis) -> None:
    def run() -> None:
        for _ in range(100):
            steps.run("count", ["n"])

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client.get("n") == "400"


def test_a_missing_server_is_an_error_after_the_clients_retries(tmp_path: Path) -> None:
    from app.config import Settings

    with connect(Settings(redis_url=f"unix://{tmp_path}/none"), retries=1) as client:
        steps = Steps(client, SOURCES)
        for _ in range(2):
            with pytest.raises(ServerError):
                steps.run("echo", ["x"])
