"""`fleet flood`."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli import show


def flood(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Files and folders to send; none: synthetic documents.")
    ] = None,
    documents: Annotated[int, typer.Option(min=1, help="How many synthetic documents.")] = 1000,
    seed: Annotated[int, typer.Option(help="Which synthetic documents.")] = 7,
    wait: Annotated[bool, typer.Option("--wait", help="Follow the batch until all is settled.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the batch's counts as JSON.")] = False,
) -> None:
    """Send documents to a fleet whose Redis and store are elsewhere (FLEET_REDIS_URL, FLEET_STORE_URL).

    Example: fleet flood --documents 1000 --wait
    """
    from app.run.remote import flood_remote, follow_remote

    counts = flood_remote(paths or [], documents=documents, seed=seed, on_sent=show.sent)
    if wait:
        counts = follow_remote(counts.batch_id, on_counts=show.counts_line)
    show.batch(counts, as_json=as_json)
    if wait and counts.succeeded < counts.total:
        raise typer.Exit(3)
