"""`fleet report`."""

from pathlib import Path
from typing import Annotated

import typer


def report(
    timeline: Annotated[
        Path, typer.Argument(help="A timeline.jsonl, of a demo or of `fleet watch`.", show_default=False)
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the report.")] = Path("report"),
) -> None:
    """Make the report of a recorded run: index.html and its pictures.

    Example: fleet report run/timeline.jsonl --output report
    """
    from app.cli.views import show
    from app.report.page import write_report

    typer.echo(show.plain(str(write_report(output, timeline))))
