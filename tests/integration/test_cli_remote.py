"""`fleet worker`, `flood`, `status` and `quarantine` for a remote fleet."""

import os
import signal
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest
import redis
from redis.connection import AbstractConnection

from app.config import Settings, load
from app.ledger.ledger import Ledger
from app.ledger.message import new_id
from app.ledger.models import Document, State, Submission
from app.ledger.reconcile import Reconciler
from app.queues import Queue
from tests.support.command_line import Commands, Running
from tests.support.documents import slow_document
from tests.support.ledger import batch_documents
from tests.support.processes import ended
from tests.support.synthetic import ENCRYPTED, GOOD, SCAN, folder_of
from tests.support.waiting import wait_for

COMMANDS = [
    *(["demo"], ["process"], ["worker"], ["beat"], ["flood"], ["check"], ["status"]),
    *(["watch"], ["report"]),
    *(["quarantine", name] for name in ("list", "show", "retry", "drop")),
]


class RemoteFleet:
    """A server and a store that commands share."""

    def __init__(self, commands: Commands, redis_url: str, store: Path) -> None:
        self.commands = commands
        self.variables = {
            "FLEET_REDIS_URL": redis_url,
            "FLEET_STORE_URL": f"file://{store}",
            # Short, so that a killed worker soon counts as gone.
            "FLEET_PRESENCE_SECONDS": "1",
            # With so short a presence, a killed worker counts as gone before its successor has started.
            "FLEET_MAX_INTERRUPTIONS": "0",
            "FLEET_RETRY_BACKOFF_MAX_SECONDS": "1",
        }
        self.config: Settings = load(self.variables)
        self.ledger: Ledger = Ledger.of(self.config)

    def start(self, *arguments: object) -> Running:
        return self.commands.start(*arguments, **self.variables)

    def run(self, *arguments: object) -> tuple[int, list[str], str]:
        return self.commands.run_here(*arguments, **self.variables)

    def flood(self, *paths: Path) -> str:
        code, (line,), errors = self.run("flood", *paths, "--json")
        assert code == 0, errors
        return str(msgspec.json.decode(line)["batch_id"])


@pytest.fixture
def remote(commands: Commands, redis_url: str, tmp_path: Path) -> RemoteFleet:
    return RemoteFleet(commands, redis_url, tmp_path / "store")


def workers_of(running: Running) -> list[psutil.Process]:
    """Return the workers of a `fleet worker`; empty if it has not started them yet."""
    found = psutil.Process(running.process.pid).children()
    return [child for child in found if "app.worker" in child.cmdline()]


def test_two_queues_until_sigterm(remote: RemoteFleet, tmp_path: Path) -> None:
    given = folder_of(tmp_path / "in", GOOD, SCAN, ENCRYPTED)
    with remote.start("worker", "pdf", "ocr") as running:
        code, (line,), errors = remote.run("flood", given, "--wait", "--json")
        assert code == 3, errors
        counts = msgspec.json.decode(line)
        assert counts["errors"] == {"password_required": 1}
        assert (counts["succeeded"], counts["settled"], counts["open"], counts["total"]) == (2, 3, 0, 3)
        workers = workers_of(running)
        assert len(workers) == 2
        running.send(signal.SIGTERM)
        assert running.wait(20.0) == 0, running.errors
        assert not any(worker.is_running() for worker in workers)
    code, lines, errors = remote.run("status", counts["batch_id"])
    assert code == 0, errors
    assert "password_required" in "\n".join(lines)
    code, (line,), _ = remote.run("status", "--json")
    said = msgspec.json.decode(line)
    assert said["queues"]["pdf"]["done"] == 3
    assert [batch["batch_id"] for batch in said["batches"]] == [counts["batch_id"]]
    code, lines, _ = remote.run("status")
    assert (code, "quarantine" in lines[-1]) == (0, False)


def test_status_costs_as_many_round_trips_however_many_batches_and_quarantined_documents_there_are(
    remote: RemoteFleet, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = 0
    send = AbstractConnection.send_packed_command

    def count(*given: Any, **named: Any) -> None:
        nonlocal sent
        sent += 1
        send(*given, **named)  # type: ignore[no-untyped-call]

    monkeypatch.setattr(AbstractConnection, "send_packed_command", count)

    def cost() -> tuple[int, int]:
        """Return the requests of `fleet status`, and the bytes of replies."""
        nonlocal sent
        before, sent = client.info("stats")["total_net_output_bytes"], 0
        code, _, errors = remote.run("status")
        assert code == 0, errors
        requests = sent
        return requests, client.info("stats")["total_net_output_bytes"] - before

    def open_batches(count: int) -> None:
        for _ in range(count):
            remote.ledger.open(new_id(), Queue.PDF, [Submission(document_id=new_id(), source="x.pdf")])

    open_batches(1)
    requests, _ = cost()
    open_batches(50)
    again, replies = cost()
    assert again == requests
    client.zadd("fleet:quarantine", {f"document-{number}": number for number in range(5_000)})
    again, more = cost()
    assert again == requests
    assert more == pytest.approx(replies, rel=0.1), "their number, and not their ids"


def test_if_one_worker_dies_the_other_ends_too(remote: RemoteFleet) -> None:
    with remote.start("worker", "pdf", "ocr", "pdf") as running:
        wait_for(lambda: len(workers_of(running)) == 2, "two workers")
        workers = workers_of(running)
        workers[0].kill()
        assert running.wait(20.0) == 128 + signal.SIGKILL
        assert not any(worker.is_running() for worker in workers)


def test_workers_end_warm_when_what_started_them_is_killed(remote: RemoteFleet, tmp_path: Path) -> None:
    slow = tmp_path / "slow.pdf"
    slow.write_bytes(slow_document())
    batch = remote.flood(slow)
    with remote.start("worker", "pdf", "ocr") as running:
        wait_for(lambda: running_document(remote.ledger, batch, 0), "the start of a document")
        workers = workers_of(running)
        running.process.kill()
        running.wait()
        wait_for(lambda: all(map(ended, workers)), "the end of the workers", seconds=30.0)
    (document_id,) = batch_documents(remote.ledger, batch)
    found = remote.ledger.document(document_id)
    assert found is not None
    assert (found.state, found.attempts) == (State.SUCCEEDED, 1), "the document in progress was finished"


def running_document(ledger: Ledger, batch: str, after: int) -> Document | None:
    (document_id,) = batch_documents(ledger, batch)
    found = ledger.document(document_id)
    assert found is not None
    begun = found.state is State.RUNNING and found.attempts > after
    return found if begun or found.state.final else None


def test_a_document_that_kills_its_workers_ends_in_the_quarantine(
    remote: RemoteFleet, tmp_path: Path
) -> None:
    poison = tmp_path / "poison.pdf"
    poison.write_bytes(slow_document(150_000))
    batch = remote.flood(poison)
    attempts, reconciler = 0, Reconciler(remote.ledger)
    while True:
        with remote.start("worker", "pdf") as running:

            def begun(attempts: int = attempts) -> Document | None:
                reconciler.reconcile()
                return running_document(remote.ledger, batch, attempts)

            document = wait_for(begun, "the next start")
            if document.state.final:
                break
            attempts = document.attempts
            os.kill(running.process.pid, signal.SIGKILL)
    assert attempts == 3
    assert document.state is State.QUARANTINED
    assert document.error == "worker_lost"

    code, (line,), _ = remote.run("quarantine", "list", "--json")
    assert code == 0
    said = msgspec.json.decode(line)
    assert (said["document_id"], said["source"]) == (document.document_id, str(poison))
    assert "options" not in said
    code, lines, _ = remote.run("quarantine", "list")
    assert document.document_id in "\n".join(lines)
    code, lines, _ = remote.run("quarantine", "show", document.document_id)
    assert code == 0
    assert "It was started 3 times and never finished." in " ".join("\n".join(lines).split())
    code, lines, _ = remote.run("quarantine", "retry", document.document_id)
    assert (code, lines) == (0, ["1 sent again."])
    assert remote.ledger.batch(batch).quarantined == 0
    again = remote.ledger.document(document.document_id)
    assert again is not None
    assert (again.state, again.attempts) == (State.QUEUED, 0)
    code, lines, errors = remote.run("quarantine", "drop", document.document_id)
    assert (code, lines) == (2, [])
    assert "is queued, not quarantined" in errors


def test_drop_removes_documents_and_their_originals(
    remote: RemoteFleet, tmp_path: Path, client: redis.Redis
) -> None:
    from app.ledger.models import Outcome

    batch = remote.flood(*folder_of(tmp_path / "in", GOOD, GOOD + 1).iterdir())
    for document in remote.ledger.documents(batch_documents(remote.ledger, batch)):
        assert document is not None
        outcome = Outcome(state=State.QUARANTINED, error="worker_lost", message="[/b] lost")
        assert remote.ledger.settle(document, outcome, token="test")
    originals = list((tmp_path / "store").rglob("*.original"))
    assert len(originals) == 2
    assert remote.run("quarantine", "list")[0] == 0
    assert remote.run("quarantine", "drop", "--all")[:2] == (0, ["2 dropped."])
    assert not any(path.exists() for path in originals)
    assert remote.run("quarantine", "list")[:2] == (0, ["The quarantine is empty."])
    assert client.zcard("fleet:quarantine") == 0


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["status", "no-such"], 2, "There is no batch no-such"),
        (["quarantine", "show", "no-such"], 2, "Document no-such is not known, not quarantined"),
        (["quarantine", "retry"], 2, "Name documents, or give --all."),
        (["worker", "plumbing"], 2, "'plumbing' is not one of"),
        (["flood", "nowhere"], 2, "nowhere does not exist."),
    ],
)
def test_unknown_ids_are_an_error(
    remote: RemoteFleet, arguments: list[str], code: int, sentence: str
) -> None:
    found, lines, errors = remote.run(*arguments)
    assert (found, lines) == (code, [])
    assert sentence in " ".join(errors.replace("│", " ").split())


@pytest.mark.parametrize(
    "arguments", [["status"], ["worker", "pdf"], ["worker", "pdf", "ocr"], ["beat"], ["flood"], ["check"]]
)
def test_commands_that_need_a_server_say_so(commands: Commands, arguments: list[str]) -> None:
    code, lines, errors = commands.run_here(*arguments)
    assert (code, lines) == (2, [])
    assert "Set FLEET_REDIS_URL to the Redis server" in errors


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_has_an_example(commands: Commands, command: list[str]) -> None:
    code, lines, errors = commands.run_here(*command, "--help")
    assert (code, errors) == (0, "")
    text = " ".join("\n".join(lines).split())
    assert f"fleet {' '.join(command)}" in text.partition("Example:")[2]
