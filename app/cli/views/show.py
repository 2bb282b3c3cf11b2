"""How data is shown: tables for people, JSON for programs."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from app.cli.views.pieces import lined_table

if TYPE_CHECKING:
    from app.ledger.models import BatchCounts, Document, QueueDepth
    from app.local.demo import Result
    from app.queues import Queue


PIPE_COLUMNS = 200


def console() -> Console:
    """Return the console for tables: standard output, where a file's name is never markup."""
    # What is no terminal has no width: rich would take 80 columns, and cut what does not fit.
    wide = None if sys.stdout.isatty() or "COLUMNS" in os.environ else PIPE_COLUMNS
    return Console(width=wide, highlight=False, markup=False, emoji=False)


def plain(text: str) -> str:
    """Return `text` with what would move a terminal's cursor, or end the line, made visible."""
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


def as_line(value: object) -> str:
    """Return `value` as one line of JSON."""
    return msgspec.json.encode(value).decode()


@contextmanager
def until_reader_leaves() -> Iterator[None]:
    """End the body quietly if the reader of standard output leaves, as `head` does."""
    try:
        yield
    except BrokenPipeError:
        # Python flushes standard output once more when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _counts(counts: "BatchCounts") -> dict[str, object]:
    fields = msgspec.to_builtins(counts)
    assert isinstance(fields, dict)  # noqa: S101  # a Struct is a dict of builtins
    return {**fields, "settled": counts.settled, "open": counts.total - counts.settled}


def batch(counts: "BatchCounts", *, as_json: bool) -> None:
    """Show one batch."""
    if as_json:
        typer.echo(as_line(_counts(counts)))
        return
    typer.echo(
        f"Batch {counts.batch_id}"
    )  # on a line of its own, however narrow: an id is there to be copied
    table = _pairs()
    for name, value in _counts(counts).items():
        if name in {"total", "open", "settled", "succeeded", "failed", "quarantined", "duplicates"}:
            table.add_row(name, f"{value:,}")
    for code, count in sorted(counts.errors.items(), key=lambda pair: -pair[1]):
        table.add_row(f"  {code}", f"{count:,}")
    console().print(table)


def overview(
    depths: "Mapping[Queue, QueueDepth]", batches: "Sequence[BatchCounts]", quarantined: int, *, as_json: bool
) -> None:
    """Show the queues, the batches and the quarantine's size."""
    if as_json:
        value = {
            "queues": {queue.value: msgspec.to_builtins(depth) for queue, depth in depths.items()},
            "batches": [_counts(counts) for counts in batches],
            "quarantined": quarantined,
        }
        typer.echo(as_line(value))
        return
    queues = _numbers("queue", ["waiting", "running", "done", "oldest wait"])
    for queue, depth in depths.items():
        numbers = (f"{depth.waiting:,}", f"{depth.inflight:,}", f"{depth.done:,}")
        queues.add_row(queue.value, *numbers, f"{depth.oldest_wait_seconds:.1f} s")
    console().print(queues)
    if batches:
        # Columns of nothing but zeros are left out, and the rest fits on 80 columns.
        rare = [name for name in ("quarantined", "duplicates") if any(getattr(one, name) for one in batches)]
        table = _numbers("batch", ["total", "open", "succeeded", "failed", *rare])
        for one in batches:
            every = (one.total, one.total - one.settled, one.succeeded, one.failed)
            table.add_row(
                one.batch_id, *(f"{number:,}" for number in (*every, *(getattr(one, name) for name in rare)))
            )
        console().print("", table)
    if quarantined:
        console().print(f"{quarantined:,} in quarantine: fleet quarantine list")


def _pairs(title: str | None = None) -> Table:
    """Return a table of names and values; a value that is too long goes on in the next line."""
    table = Table(title=title, title_justify="left", show_header=False)
    table.add_column()
    table.add_column(overflow="fold")
    return table


def _numbers(first: str, names: Sequence[str]) -> Table:
    """Return a table of numbers, each of which is there whole: where it is too wide, what they are of is folded."""
    table = lined_table()
    table.add_column(first, overflow="fold")
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _document(shown: "Document") -> dict[str, object]:
    fields = msgspec.structs.asdict(shown)
    fields.pop("options")  # it may hold a password
    fields["summary"] = msgspec.json.decode(shown.summary)
    return fields


def documents(shown: "Sequence[Document]", *, as_json: bool) -> None:
    """List documents."""
    if as_json:
        for one in shown:
            typer.echo(as_line(_document(one)))
        return
    # No table: an id, a path and a sentence do not fit side by side on a terminal.
    for one in shown:
        starts = "1 start" if one.starts == 1 else f"{one.starts:,} starts"
        typer.echo(f"{one.document_id}  {one.error or ''}  queue {one.queue}, {starts}")
        typer.echo(f"  {plain(one.source)}")
        typer.echo(f"  {plain(one.message or '')}")
    if not shown:
        typer.echo("The quarantine is empty.")


def document(shown: "Document", *, as_json: bool) -> None:
    """Show all that is known of one document."""
    if as_json:
        typer.echo(as_line(_document(shown)))
        return
    table = _pairs()
    for name, value in _document(shown).items():
        table.add_row(name, plain(str(value)))
    console().print(table)


def demo(result: "Result", *, as_json: bool) -> None:
    """Show what came of a demo."""
    for surprise in result.surprises:
        typer.echo(plain(surprise), err=True)
    if as_json:
        typer.echo(as_line({**msgspec.to_builtins(result.summary), "report": str(result.report)}))
        return
    summary = result.summary
    table = _pairs(title="The run")
    table.add_row("documents", f"{summary.documents:,}")
    for state, count in summary.states.items():
        if count or state == "succeeded":
            table.add_row(f"  {state}", f"{count:,}")
    if summary.failed:
        table.add_row("not succeeded, by code", "")
    for code, count in sorted(summary.failed.items(), key=lambda pair: (-pair[1], pair[0])):
        table.add_row(f"  {code}", f"{count:,}")
    table.add_row("seconds", f"{summary.seconds:.1f}")
    table.add_row("documents a second", f"{summary.documents_per_second:.1f}")
    for queue, peak in summary.peak_replicas.items():
        table.add_row(f"most replicas of {queue}", f"{peak:,}")
    table.add_row("workers replaced", f"{summary.replaced:,}")
    table.add_row("duplicate settlements", f"{summary.duplicates:,}")
    table.add_row("report", str(result.report))
    console().print(table)
