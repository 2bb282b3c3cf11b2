"""`fleet status`."""

import sys
import threading
from datetime import datetime
from typing import Annotated

import typer

from app.cli.views import show
from app.client.connect import connect
from app.client.follow import POSITION, follow
from app.client.history import batch_counts
from app.client.news import Away, Line, encode
from app.queues import Queue
from app.runtime.lifeline import STDIN, when_it_ends


def status(
    batch: Annotated[
        str | None, typer.Argument(metavar="BATCH", help="Show this batch (default: queues and all batches).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    following: Annotated[
        bool,
        typer.Option(
            "--follow", help="Keep running: print one line per second with newly settled documents."
        ),
    ] = False,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="POSITION",
            help="With --follow, start at this time (seconds since the epoch) or `position` of an earlier line.",
        ),
    ] = None,
    until_eof: Annotated[
        bool, typer.Option("--until-eof", help="Exit when standard input is closed (used over kubectl exec).")
    ] = False,
) -> None:
    """Show the queues and batches of a remote fleet, or one batch.

    FLEET_REDIS_URL names the fleet's Redis. An archived BATCH is shown if FLEET_STORE_URL names the fleet's object
    store. With --follow, a named batch is followed from its first document on.
    docs/watching.md lists the fields of the JSON.

    Example: fleet status --json
    """
    if (until_eof or since is not None) and not following:
        raise typer.BadParameter("--since and --until-eof go with --follow.")
    if batch is not None and since is not None:
        raise typer.BadParameter("A named batch is followed from its first document on: leave out --since.")
    if since is not None and not POSITION.fullmatch(since):
        raise typer.BadParameter(
            f"{since!r} is neither a time in seconds since the epoch nor a position such as 1764367200000-0."
        )
    if following:
        _follow(batch, since=since, as_json=as_json, until_eof=until_eof)
        return
    ledger = connect()
    if batch is not None:
        show.batch(batch_counts(ledger, batch), as_json=as_json)
        return
    batches = ledger.counts(ledger.batches())
    queues = list(Queue)
    show.overview(
        ledger.depths(queues),
        ledger.times(queues),
        batches,
        ledger.quarantine_size(),
        ledger.archived(),
        expected=ledger.config.expected_seconds,
        as_json=as_json,
    )


def _follow(batch: str | None, *, since: str | None, as_json: bool, until_eof: bool) -> None:
    ended = threading.Event()
    if until_eof:
        when_it_ends(STDIN, ended.set)
    output = sys.stdout.buffer
    with show.until_reader_leaves():
        for line in follow(batch, since=since, until=ended):
            output.write(encode(line) if as_json else _as_text(line).encode() + b"\n")
            output.flush()


def _as_text(line: Line) -> str:
    clock = datetime.fromtimestamp(line.time).astimezone().strftime("%H:%M:%S")
    if isinstance(line, Away):
        return show.plain(f"{clock}  the Redis server is away ({line.message}); waiting for it")
    queues = "  ".join(
        f"{name}: waiting {queue.waiting} running {queue.running} done {queue.done}"
        for name, queue in line.queues.items()
    )
    failed = ", ".join(f"{code} {count}" for code, count in sorted(line.failed.items())) or "none"
    missed = "  (some settled documents were missed)" if line.missed else ""
    documents = f"open {line.open}  settled {line.settled} (+{len(line.documents)})  failed {failed}"
    return f"{clock}  {documents}  {queues}{missed}"
