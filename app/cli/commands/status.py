"""`fleet status`."""

import os
import sys
import threading
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.views import show

if TYPE_CHECKING:
    from app.client.news import Line


def status(
    batch: Annotated[
        str | None, typer.Argument(help="A batch's id; none: the queues and all batches.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    following: Annotated[
        bool, typer.Option("--follow", help="Go on: a line a second, with what was settled since.")
    ] = False,
    batch_option: Annotated[
        str | None, typer.Option("--batch", help="The same as the argument.", metavar="ID")
    ] = None,
    since: Annotated[
        float | None,
        typer.Option(
            help="With --follow: tell what was settled from this time on, in seconds since the epoch, too.",
            show_default=False,
        ),
    ] = None,
    until_eof: Annotated[
        bool,
        typer.Option("--until-eof", help="With --follow: end when standard input does, as a connection's."),
    ] = False,
) -> None:
    """Say what a fleet is doing: its queues, its batches, or one batch.

    With --follow only what is settled from now on is told, or all of the one batch. docs/watching.md has the
    fields of the JSON.

    Example: fleet status --json
    """
    if (until_eof or since is not None) and not following:
        raise typer.BadParameter("--since and --until-eof go with --follow.")
    if batch and batch_option and batch != batch_option:
        raise typer.BadParameter("Name one batch.")
    chosen = batch or batch_option
    if following:
        _follow(chosen, since=since, as_json=as_json, until_eof=until_eof)
        return
    from app.client.connect import connect
    from app.client.follow import known_batch
    from app.queues import Queue

    ledger = connect()
    if chosen is not None:
        show.batch(known_batch(ledger, chosen), as_json=as_json)
        return
    batches = [ledger.batch(batch_id) for batch_id in ledger.batches()]
    show.overview(ledger.depths(list(Queue)), batches, len(ledger.quarantined()), as_json=as_json)


def _follow(batch: str | None, *, since: float | None, as_json: bool, until_eof: bool) -> None:
    from app.client.follow import follow
    from app.client.news import encode
    from app.runtime.lifeline import STDIN, when_it_ends

    ended = threading.Event()
    if until_eof:
        when_it_ends(STDIN, ended.set)
    output = sys.stdout.buffer
    try:
        for line in follow(batch, since=since, until=ended):
            output.write(encode(line) if as_json else _sentence(line).encode() + b"\n")
            output.flush()
    except BrokenPipeError:
        # Whoever read it has gone, and Python flushes once more at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _sentence(line: "Line") -> str:
    from datetime import datetime

    from app.client.news import Away

    clock = datetime.fromtimestamp(line.time).astimezone().strftime("%H:%M:%S")
    if isinstance(line, Away):
        return show.plain(f"{clock}  the Redis server is away ({line.message}); waiting for it")
    queues = "  ".join(
        f"{name}: waiting {queue.waiting} running {queue.running} done {queue.done}"
        for name, queue in line.queues.items()
    )
    failed = ", ".join(f"{code} {count}" for code, count in sorted(line.failed.items())) or "none"
    return f"{clock}  open {line.open}  settled {line.settled} (+{len(line.documents)})  failed {failed}  {queues}"
