"""`fleet demo`."""

import os
from pathlib import Path
from typing import Annotated

import typer


def demo(
    documents: Annotated[int, typer.Option(min=1, help="How many PDFs.")] = 1000,
    seed: Annotated[int, typer.Option(help="Which PDFs: the same seed gives the same bytes.")] = 7,
    max_replicas: Annotated[
        int | None, typer.Option(min=1, help="Most workers a queue; default: twice the processors.")
    ] = None,
    report: Annotated[Path, typer.Option(help="Folder for the report.")] = Path("report"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Run the main job on this machine: make PDFs, flood them, and watch the fleet grow, work and go.

    Example: fleet demo --documents 200 --report /tmp/report
    """
    from app.cli.views import show
    from app.cli.views.live import LiveView
    from app.cli.views.making import making
    from app.config import settings
    from app.local import demo as job
    from app.local.process import policies

    config = settings()
    replicas = max_replicas or 2 * max(2, os.cpu_count() or 1)
    with making("Making the PDFs", documents) as made:
        synthetics = job.synthetics(documents, seed, made)
    command = f"fleet demo --documents {documents} --seed {seed} --max-replicas {replicas}"
    with LiveView(documents, f"{documents:,} documents, at most {replicas} workers a queue") as view:
        result = job.run(
            config,
            policies(replicas),
            synthetics,
            seed=seed,
            command=command,
            report=report,
            on_progress=view.update,
        )
    show.demo(result, as_json=as_json)
    if result.summary.documents != documents or result.surprises:
        raise typer.Exit(1)
