"""`fleet status`."""

from typing import Annotated

import typer

from app.cli import show


def status(
    batch: Annotated[
        str | None, typer.Argument(help="A batch's id; none: the queues and all batches.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what a fleet is doing: its queues, its batches, or one batch.

    Example: fleet status --json
    """
    from app.queues import Queue
    from app.run.remote import connect_remote, known_batch

    _, ledger = connect_remote()
    if batch is not None:
        show.batch(known_batch(ledger, batch), as_json=as_json)
        return
    batches = [ledger.batch(batch_id) for batch_id in ledger.batches()]
    show.overview(ledger.depths(list(Queue)), batches, len(ledger.quarantined()), as_json=as_json)
