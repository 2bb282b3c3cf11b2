"""`fleet report`."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli.views import show
from app.report.page import write_report


def report(
    timeline: Annotated[
        Path,
        typer.Argument(
            metavar="TIMELINE", help="Read this timeline.jsonl of `fleet demo` or `fleet watch --record`."
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Write the report to this folder.")
    ] = Path("report"),
) -> None:
    """Write the report of a recorded run: index.html and its pictures.

    Example: fleet report timeline.jsonl --output report
    """
    typer.echo(show.plain(str(write_report(output, timeline))))
