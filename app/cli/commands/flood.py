"""`fleet flood`."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli.views import show
from app.cli.views.progress import BatchProgress
from app.client.submit import await_batch, submit
from app.errors import ExitCode


def flood(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="PATH", help="Send these files and folders (default: synthetic documents)."),
    ] = None,
    documents: Annotated[
        int, typer.Option(min=1, metavar="N", help="Without PATH, make this many documents.")
    ] = 1000,
    seed: Annotated[int, typer.Option(metavar="N", help="Make them from this seed.")] = 7,
    batch: Annotated[
        str | None, typer.Option(metavar="ID", help="Add what is missing to this batch (default: a new one).")
    ] = None,
    weight: Annotated[
        int,
        typer.Option(min=1, max=1000, metavar="N", help="Give the batch the share of N ordinary batches."),
    ] = 1,
    express: Annotated[
        bool, typer.Option("--express", help="Process the batch before every ordinary one.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the whole batch is settled.")] = False,
    server_timeout: Annotated[
        float,
        typer.Option(
            min=0,
            metavar="SECONDS",
            help="Wait this long for a server that does not answer; 0: fail at once.",
        ),
    ] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the counts of the batch as JSON.")] = False,
) -> None:
    """Send documents to a remote fleet.

    FLEET_REDIS_URL and FLEET_STORE_URL name the fleet's Redis and its object store. --server-timeout applies to both
    at the start, and to Redis during --wait. The same seed makes the same documents.

    If Redis is full, the command waits until there is room, for FLEET_FULL_SERVER_TIMEOUT_SECONDS in all.
    Open batches share the workers, whatever their sizes: a small batch does not wait for a large one to end.
    After an interruption, the same command with --batch and the id of its batch sends what is missing.

    With --wait the exit code is 3 if a document did not succeed. Some synthetic documents are broken on purpose: for
    them it is 3 only if a document is quarantined.

    Example: fleet flood --documents 1000 --wait
    """
    progress = BatchProgress()
    counts = submit(
        paths or [],
        documents=documents,
        seed=seed,
        batch_id=batch,
        weight=weight,
        express=express,
        timeout=server_timeout,
        on_made=lambda ready: progress.made(ready, documents),
        on_sent=progress.sent,
        on_wait=progress.note,
    )
    if wait:
        counts = await_batch(
            counts.batch_id,
            expected=counts.total,
            timeout=server_timeout,
            on_counts=progress.counts,
            on_absence=progress.absence,
        )
    show.batch(counts, as_json=as_json)
    unwanted = counts.quarantined if not paths else counts.total - counts.succeeded
    if wait and unwanted:
        raise typer.Exit(ExitCode.SOME_DOCUMENTS_FAILED)
