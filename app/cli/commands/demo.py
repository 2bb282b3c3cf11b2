"""`fleet demo`."""

import os
from pathlib import Path
from typing import Annotated

import typer

from app.cli.views import show
from app.cli.views.live import LiveView
from app.cli.views.progress import BatchProgress
from app.config import settings
from app.errors import ExitCode
from app.local import demo as job
from app.local.process import policies


def demo(
    documents: Annotated[int, typer.Option(min=1, metavar="N", help="Make this many PDFs.")] = 1000,
    seed: Annotated[int, typer.Option(metavar="N", help="Make the PDFs from this seed.")] = 7,
    max_replicas: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Run at most N workers per queue (default: two per processor, at least 4).",
        ),
    ] = None,
    report: Annotated[Path, typer.Option(metavar="FOLDER", help="Write the report here.")] = Path("report"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Make PDFs, process them on this machine, and report the run.

    The fleet starts empty, grows with its queues, and shrinks to nothing at the end. The same seed makes the same
    PDFs.

    Example: fleet demo --documents 200 --report /tmp/report
    """
    config = settings()
    replicas = max_replicas or 2 * max(2, os.cpu_count() or 1)
    progress = BatchProgress()
    synthetics = job.synthetics(documents, seed, lambda ready: progress.made(ready, documents))
    command = f"fleet demo --documents {documents} --seed {seed} --max-replicas {replicas}"
    with LiveView(documents, f"{documents:,} documents, at most {replicas} workers per queue") as view:
        result = job.run(
            config,
            policies(replicas),
            synthetics,
            seed=seed,
            command=command,
            report=report,
            on_progress=view.update,
            on_wait=view.note,
        )
    show.demo(result, as_json=as_json)
    if result.summary.documents != documents or result.surprises:
        raise typer.Exit(ExitCode.FLEET_FAILED)
