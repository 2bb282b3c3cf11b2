"""Tables for people and JSON for programs, on standard output."""

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
from app.storage.layout import DocumentSummary

if TYPE_CHECKING:
    from app.ledger.models import BatchCounts, Document, QueueDepth, ServiceTimes
    from app.local.demo import Result
    from app.queues import Queue


PIPE_COLUMNS = 200
FACTOR = 2
"""How far the measured seconds a document may be from what scaling counts on before `fleet status` says so."""
ENOUGH_PASSES = 20
"""Documents from which their mean time says something."""


def console() -> Console:
    """Return the console for tables: standard output without markup, which a file's name may look like."""
    # A pipe has no width: rich would assume 80 columns and cut what does not fit.
    wide = None if sys.stdout.isatty() or "COLUMNS" in os.environ else PIPE_COLUMNS
    return Console(width=wide, highlight=False, markup=False, emoji=False)


def plain(text: str) -> str:
    """Return `text` with control characters escaped: they would move the cursor or end the line."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


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
    return {
        **msgspec.structs.asdict(counts),
        "settled": counts.settled,
        "open": counts.total - counts.settled,
    }


def batch(counts: "BatchCounts", *, as_json: bool) -> None:
    """Show one batch."""
    if as_json:
        typer.echo(as_line(_counts(counts)))
        return
    typer.echo(f"Batch {counts.batch_id}")  # outside the table, which could fold it: an id is copied
    table = _pairs()
    for name, value in _counts(counts).items():
        if name in {"total", "open", "settled", "succeeded", "failed", "quarantined", "duplicates"}:
            table.add_row(name, f"{value:,}")
    for code, count in sorted(counts.errors.items(), key=lambda pair: -pair[1]):
        table.add_row(f"  {code}", f"{count:,}")
    console().print(table)


def overview(
    depths: "Mapping[Queue, QueueDepth]",
    times: "Mapping[Queue, ServiceTimes]",
    batches: "Sequence[BatchCounts]",
    quarantined: int,
    archived: int,
    *,
    expected: Mapping[str, float],
    as_json: bool,
) -> None:
    """Show the queues, the batches, and the numbers of quarantined and archived documents.

    Args:
        depths: The depth of each queue.
        times: Its service times.
        batches: The batches.
        quarantined: How many documents are in the quarantine.
        archived: How many documents have left the ledger for the archive.
        expected: The seconds a document that scaling counts on, by queue, if they are known.
        as_json: Whether to show JSON.
    """
    if as_json:
        value = {
            "queues": {
                queue.value: {
                    **msgspec.to_builtins(depth),
                    "times": msgspec.to_builtins(times[queue]),
                    "expected_work_seconds": expected.get(queue.value),
                }
                for queue, depth in depths.items()
            },
            "batches": [_counts(counts) for counts in batches],
            "quarantined": quarantined,
            "archived": archived,
        }
        typer.echo(as_line(value))
        return
    queues = _numbers("queue", ["waiting", "running", "done", "oldest wait", "s/doc", "95 % within"])
    for queue, depth in depths.items():
        cells = (f"{depth.waiting:,}", f"{depth.running:,}", f"{depth.done:,}")
        queues.add_row(queue.value, *cells, f"{depth.oldest_wait_seconds:.1f} s", *_work(times[queue]))
    console().print(queues)
    for queue, measured in times.items():
        if sentence := _misjudged(measured, expected.get(queue.value), queue):
            console().print(sentence)
    if batches:
        # Without the columns that hold only zeros, the table fits on 80 columns.
        rare = [
            name for name in ("quarantined", "duplicates") if any(getattr(counts, name) for counts in batches)
        ]
        table = _numbers("batch", ["total", "open", "succeeded", "failed", *rare])
        for counts in batches:
            usual = (counts.total, counts.total - counts.settled, counts.succeeded, counts.failed)
            numbers = (*usual, *(getattr(counts, name) for name in rare))
            table.add_row(counts.batch_id, *(f"{number:,}" for number in numbers))
        console().print("", table)
    if quarantined:
        console().print(f"{quarantined:,} in quarantine: fleet quarantine list")
    if archived:
        console().print(f"{archived:,} settled earlier and archived")


def _work(times: "ServiceTimes") -> tuple[str, str]:
    """Return the cells for how long a document is worked on: the mean, and what 19 of 20 need at most."""
    if not times.passes:
        return "", ""
    most = times.work_p95_seconds
    return f"{times.mean_work_seconds:.3g}", "over 1 min" if most is None else f"{most:g} s"


def _misjudged(times: "ServiceTimes", expected: float | None, queue: "Queue") -> str:
    """Return a sentence if scaling counts on another time for a document than workers need; empty if it does not."""
    if expected is None or times.passes < ENOUGH_PASSES:
        return ""
    measured = times.mean_work_seconds
    if expected / FACTOR <= measured <= expected * FACTOR:
        return ""
    return (
        f"A document of {queue.value} takes {measured:.3g} s as measured, and scaling counts on {expected:g} s: "
        f"correct secondsPerDocument of its workers."
    )


def _pairs(title: str | None = None) -> Table:
    """Return a table of names and values that folds long values."""
    table = Table(title=title, title_justify="left", show_header=False)
    table.add_column()
    table.add_column(overflow="fold")
    return table


def _numbers(first: str, names: Sequence[str]) -> Table:
    """Return a table of numbers that, if it is too wide, folds the first column and never cuts a number."""
    table = lined_table()
    table.add_column(first, overflow="fold")
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _document(shown: "Document") -> dict[str, object]:
    fields = msgspec.structs.asdict(shown)
    fields.pop("options")  # they may hold a password
    fields["summary"] = msgspec.structs.asdict(msgspec.json.decode(shown.summary, type=DocumentSummary))
    return fields


def documents(shown: "Sequence[Document]", *, as_json: bool) -> None:
    """Show documents, three lines each."""
    if as_json:
        for entry in shown:
            typer.echo(as_line(_document(entry)))
        return
    # No table: an id, a path and a sentence are too wide for one line.
    for entry in shown:
        starts = "1 start" if entry.starts == 1 else f"{entry.starts:,} starts"
        typer.echo(f"{entry.document_id}  {entry.error or ''}  queue {entry.queue}, {starts}")
        typer.echo(f"  {plain(entry.source)}")
        typer.echo(f"  {plain(entry.message or '')}")
    if not shown:
        typer.echo("The quarantine is empty.")


def document(shown: "Document", *, as_json: bool) -> None:
    """Show everything known about one document."""
    if as_json:
        typer.echo(as_line(_document(shown)))
        return
    table = _pairs()
    for name, value in _document(shown).items():
        table.add_row(name, plain(str(value)))
    console().print(table)


def demo(result: "Result", *, as_json: bool) -> None:
    """Show the result of a demo."""
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
    table.add_row("documents per second", f"{summary.documents_per_second:.1f}")
    for queue, peak in summary.peak_replicas.items():
        table.add_row(f"peak replicas of {queue}", f"{peak:,}")
    table.add_row("workers replaced", f"{summary.replaced:,}")
    table.add_row("duplicate settlements", f"{summary.duplicates:,}")
    table.add_row("report", str(result.report))
    console().print(table)
