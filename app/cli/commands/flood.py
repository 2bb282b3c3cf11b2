"""`fleet flood`."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli.views import show


def flood(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Files and folders to send; none: synthetic documents.")
    ] = None,
    documents: Annotated[int, typer.Option(min=1, help="How many synthetic documents.")] = 1000,
    seed: Annotated[int, typer.Option(help="Which synthetic documents.")] = 7,
    batch: Annotated[
        str | None,
        typer.Option(
            help="Name of the batch; sending it again adds only what is missing.", show_default="new"
        ),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Follow the batch until all is settled.")] = False,
    patience: Annotated[
        float, typer.Option(min=0, help="Seconds that the servers may be away, at first or meanwhile.")
    ] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the batch's counts as JSON.")] = False,
) -> None:
    """Send documents to a fleet whose Redis and store are elsewhere (FLEET_REDIS_URL, FLEET_STORE_URL).

    With --wait the exit code is 3 where documents did not succeed; of synthetic ones, some of which cannot, only
    where some are quarantined.

    Example: fleet flood --documents 1000 --wait
    """
    from app.client.submit import await_batch, submit

    progress = show.BatchProgress()
    counts = submit(
        paths or [],
        documents=documents,
        seed=seed,
        batch_id=batch,
        timeout=patience,
        on_made=lambda ready: progress.made(ready, documents),
        on_sent=progress.sent,
    )
    if wait:
        counts = await_batch(
            counts.batch_id,
            expected=counts.total,
            timeout=patience,
            on_counts=progress.counts,
            on_absence=progress.absence,
        )
    show.batch(counts, as_json=as_json)
    unwanted = counts.quarantined if not paths else counts.total - counts.succeeded
    if wait and unwanted:
        raise typer.Exit(3)
