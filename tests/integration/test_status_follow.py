"""`fleet status --follow` on a real server."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from app.client.follow import NewsFeed
from app.client.news import Away, News, decode
from app.config import Settings
from app.errors import UsageError
from app.ledger.ledger import Ledger
from app.ledger.message import new_id
from app.ledger.models import Outcome, State, Submission
from app.local.server import EmbeddedServer
from app.queues import Queue
from tests.support.command_line import Commands, Running
from tests.support.waiting import wait_for


def opened(ledger: Ledger, count: int, batch_id: str | None = None) -> tuple[str, list[str]]:
    chosen = batch_id or new_id()
    documents = [Submission(document_id=new_id(), source=f"{n}.pdf") for n in range(count)]
    ledger.open(chosen, Queue.PDF, documents)
    return chosen, [document.document_id for document in documents]


def settled(
    ledger: Ledger, ids: list[str], *, state: State = State.SUCCEEDED, error: str | None = None
) -> None:
    for document_id in ids:
        document = ledger.start(document_id, queue=Queue.PDF, worker="w")
        assert not isinstance(document, str), document
        assert ledger.settle(document, Outcome(state=state, error=error), token=new_id())


def ids_in(news: News) -> list[str]:
    return [document.id for document in news.documents]


def test_only_new_documents_are_reported_and_once(ledger: Ledger) -> None:
    batch, ids = opened(ledger, 4)
    settled(ledger, ids[:1])
    feed = NewsFeed(ledger)
    first = feed.poll()
    assert (ids_in(first), first.open, first.settled) == ([], 3, 0)
    assert first.queues["pdf"].waiting == 3
    settled(ledger, ids[1:3])
    settled(ledger, ids[3:], state=State.FAILED, error="malformed")
    news = feed.poll()
    assert ids_in(news) == ids[1:]
    assert (news.open, news.settled, news.failed) == (0, 3, {"malformed": 1})
    assert [(one.batch_id, one.total, one.settled, one.failed) for one in news.batches] == [(batch, 4, 4, 1)]
    record = news.documents[0]
    assert (record.state, record.queue, record.stages) == ("succeeded", "pdf", [])
    assert record.started is not None
    assert record.finished is not None
    assert news.time - 60 < record.opened <= record.started <= record.finished <= news.time
    # Finished and reported: the batch is in one more line, then in none.
    assert ids_in(feed.poll()) == []
    assert feed.poll().batches == []


def test_a_later_batch_is_reported_from_its_first_document(ledger: Ledger) -> None:
    feed = NewsFeed(ledger)
    assert feed.poll().batches == []
    batch, ids = opened(ledger, 2)
    settled(ledger, ids)
    found = ids_in(feed.poll()) + ids_in(feed.poll())
    assert found == ids
    # It is finished; documents opened in it later are reported as well, and none twice.
    feed.poll()
    assert feed.poll().batches == []
    _, more = opened(ledger, 1, batch)
    settled(ledger, more)
    assert ids_in(feed.poll()) + ids_in(feed.poll()) == more


def test_one_batch_from_its_first_document_on(ledger: Ledger) -> None:
    _, others = opened(ledger, 1)
    batch, ids = opened(ledger, 2)
    settled(ledger, [*others, *ids])
    feed = NewsFeed(ledger, batch)
    assert ids_in(feed.poll()) == ids
    news = feed.poll()
    assert ids_in(news) == []
    assert [one.batch_id for one in news.batches] == [batch]
    with pytest.raises(UsageError, match="There is no batch no-such"):
        NewsFeed(ledger, "no-such").poll()


def test_since_reports_what_a_reader_missed(ledger: Ledger) -> None:
    _, ids = opened(ledger, 12)
    settled(ledger, ids[:5])
    feed = NewsFeed(ledger)
    position = feed.poll().position
    settled(ledger, ids[5:11])
    second = NewsFeed(ledger, since=position)
    assert ids_in(second.poll()) == ids[5:11] == ids_in(feed.poll())
    settled(ledger, ids[11:])
    assert ids_in(second.poll()) == ids[11:]
    seconds, micros = ledger.client.time()
    assert ids_in(NewsFeed(ledger, since=str(seconds - 60)).poll()) == ids
    assert ids_in(NewsFeed(ledger, since=f"{seconds + micros / 1e6 + 0.001:.6f}").poll()) == []


def test_many_come_in_pages_without_a_gap(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.ledger.follow.PAGE", 10)
    batch, ids = opened(ledger, 25)
    settled(ledger, ids)
    feed = NewsFeed(ledger, batch)
    polls = [feed.poll() for _ in range(4)]
    assert [len(news.documents) for news in polls] == [10, 10, 5, 0]
    assert [news.more for news in polls] == [True, True, False, False]
    assert [document for news in polls for document in ids_in(news)] == ids


@pytest.mark.parametrize("retried", [[0], [2], [0, 1], [0, 1, 2]], ids=str)
def test_a_retry_out_of_the_quarantine_hides_nothing(ledger: Ledger, retried: list[int]) -> None:
    """It opens documents again that a poll may not have read yet."""
    _, ids = opened(ledger, 5)
    feed = NewsFeed(ledger)
    feed.poll()
    settled(ledger, ids[:3], state=State.QUARANTINED, error="worker_lost")
    assert ids_in(feed.poll()) == ids[:3]
    for position in retried:
        document = ledger.document(ids[position])
        assert document is not None
        assert ledger.retry(document)
    if len(retried) < 3:
        settled(ledger, ids[3:4])
        assert ids_in(feed.poll()) == ids[3:4]
    else:
        assert ids_in(feed.poll()) == []
    again = [ids[position] for position in retried]
    settled(ledger, [*again, ids[4]])
    assert ids_in(feed.poll()) == [*again, ids[4]]


def test_a_batch_with_something_in_quarantine_is_still_followed(ledger: Ledger) -> None:
    feed = NewsFeed(ledger)
    feed.poll()
    _, ids = opened(ledger, 1)
    settled(ledger, ids, state=State.QUARANTINED, error="worker_lost")
    feed.poll()
    feed.poll()
    document = ledger.document(ids[0])
    assert document is not None
    ledger.retry(document)
    assert feed.poll().open == 1
    settled(ledger, ids)
    assert ids_in(feed.poll()) == ids


def test_a_poll_makes_at_most_five_round_trips(ledger: Ledger, client: redis.Redis) -> None:
    for _ in range(20):
        opened(ledger, 2)
    _, ids = opened(ledger, 50)
    feed = NewsFeed(ledger)
    feed.poll()
    settled(ledger, ids)
    client.config_resetstat()  # other tests of this server list keys
    sent: list[int] = []
    connection = ledger.client.connection_pool.get_connection()
    write = connection.send_packed_command

    def counted(*given: Any, **named: Any) -> None:
        sent.append(1)
        write(*given, **named)

    connection.send_packed_command = counted
    ledger.client.connection_pool.release(connection)
    assert len(ids_in(feed.poll())) == 50
    assert len(sent) == 5
    sent.clear()
    feed.poll()
    assert len(sent) == 4, "other documents are open"
    assert not any("KEYS" in name.upper() or "SCAN" in name.upper() for name in client.info("commandstats"))


# The command.


def lines(running: Running) -> list[News | Away]:
    return [decode(line) for line in running.out.read_bytes().split(b"\n")[:-1]]


def seen(running: Running, holds: Callable[[News | Away], bool], what: str) -> News | Away:
    def find() -> News | Away | None:
        assert running.process.poll() is None, running.errors
        return next((line for line in lines(running) if holds(line)), None)

    found = wait_for(find, what)
    assert isinstance(found, News | Away)
    return found


def test_a_server_that_goes_and_comes_back_is_waited_for(commands: Commands, server: EmbeddedServer) -> None:
    ledger = Ledger.of(Settings(redis_url=server.url))
    _, ids = opened(ledger, 3)
    with commands.start("status", "--follow", "--json", FLEET_REDIS_URL=server.url) as running:
        seen(running, lambda line: isinstance(line, News) and line.open == 3, "the first line")
        settled(ledger, ids[:1])
        seen(running, lambda line: isinstance(line, News) and ids_in(line) == ids[:1], "the first document")
        server.stop()
        seen(running, lambda line: isinstance(line, Away), "a line that says so")
        server.start()
        settled(ledger, ids[1:])
        seen(running, lambda line: isinstance(line, News) and line.settled == 3, "the others")
        running.send(signal.SIGTERM)
        assert running.wait(10.0) == 143
    every = [document for line in lines(running) if isinstance(line, News) for document in ids_in(line)]
    assert every == ids


def test_a_server_that_stays_away_ends_it(commands: Commands, server: EmbeddedServer) -> None:
    variables = {"FLEET_REDIS_URL": server.url, "FLEET_SERVER_TIMEOUT_SECONDS": "1"}
    with commands.start("status", "--follow", **variables) as running:
        wait_for(lambda: running.lines, "the first line")
        assert "open 0  settled 0 (+0)  failed none  pdf: waiting 0 running 0 done 0" in running.lines[0]
        server.stop()
        assert running.wait(20.0) == 1
    assert "went away and has not come back for 1 s" in running.errors
    assert "is away" in running.lines[-1]


def test_it_exits_when_its_standard_output_is_closed(
    commands: Commands, redis_url: str, tmp_path: Path
) -> None:
    environment = {**commands.environment, "FLEET_REDIS_URL": redis_url}
    errors = tmp_path / "errors"
    with errors.open("wb") as err:
        process = subprocess.Popen(
            [sys.executable, "-m", "app.cli.main", "status", "--follow", "--json"],
            env=environment, stdout=subprocess.PIPE, stderr=err,
        )  # fmt: skip
        assert process.stdout is not None
        assert isinstance(decode(process.stdout.readline().rstrip()), News)
        process.stdout.close()
        assert process.wait(20.0) == 0
    assert errors.read_text() == ""


def test_it_exits_when_its_standard_input_is_closed(commands: Commands, redis_url: str) -> None:
    environment = {**commands.environment, "FLEET_REDIS_URL": redis_url}
    reading, writing = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-m", "app.cli.main", "status", "--follow", "--json", "--until-eof"],
        env=environment, stdin=reading, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        os.close(reading)
        assert process.stdout is not None
        assert isinstance(decode(process.stdout.readline().rstrip()), News)
        os.close(writing)
        _, errors = process.communicate(timeout=20.0)
    assert (process.returncode, errors) == (0, b"")


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["no-such", "--follow"], 2, "There is no batch no-such"),
        (["--until-eof"], 2, "--since and --until-eof go with --follow."),
        (
            ["--follow", "--since", "yesterday"],
            2,
            "'yesterday' is neither a time in seconds since the epoch nor",
        ),
        (["some-batch", "--follow", "--since", "1"], 2, "is followed from its first document on: leave out"),
    ],
    ids=lambda given: given[0] if isinstance(given, list) else "",
)
def test_what_cannot_be_followed_is_an_error(
    commands: Commands, redis_url: str, arguments: list[str], code: int, sentence: str
) -> None:
    found, out, errors = commands.run("status", *arguments, FLEET_REDIS_URL=redis_url)
    assert (found, out) == (code, [])
    assert sentence in " ".join(errors.replace("│", " ").split())


@pytest.mark.parametrize(
    ("url", "code", "sentence"),
    [("", 2, "Set FLEET_REDIS_URL"), ("redis://127.0.0.1:1/0", 1, "No Redis server answers")],
    ids=["none", "nobody"],
)
def test_following_needs_a_server(commands: Commands, url: str, code: int, sentence: str) -> None:
    variables = {"FLEET_REDIS_URL": url} if url else {}
    found, out, errors = commands.run("status", "--follow", **variables)
    assert (found, out) == (code, [])
    assert sentence in errors
