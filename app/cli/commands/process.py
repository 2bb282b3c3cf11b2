"""`fleet process`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from app.documents.models import OcrMode


def process(
    paths: Annotated[list[Path], typer.Argument(help="Files and folders.", show_default=False)],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the results.", show_default=False)
    ],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print each document's index line as it is settled.")
    ] = False,
    password: Annotated[
        str | None,
        typer.Option(envvar="PDF_PASSWORD", show_envvar=True, help="Tried on encrypted documents."),
    ] = None,
    ocr: Annotated[OcrMode, typer.Option(help="Recognise pages that are only a picture.")] = OcrMode.AUTO,
    max_replicas: Annotated[
        int | None, typer.Option(min=1, help="Most workers a queue; default: one a processor.")
    ] = None,
) -> None:
    """Take files and folders through a fleet on this machine that lives as long as it is needed.

    OUTPUT gets, for each document, NAME/text.txt, NAME/thumbnail.jpg and NAME/document.json, and index.jsonl
    with a line for each. Exit code 3: some failed, each with its code.

    Example: fleet process ~/Documents/invoices --output results
    """
    import os

    import msgspec

    from app.cli.views import show
    from app.cli.views.live import LiveView
    from app.client.intake import expand, named
    from app.config import settings
    from app.errors import UsageError
    from app.ledger.models import Options, State
    from app.local.claim import claimed
    from app.local.delivery import INDEX, IndexLine
    from app.local.process import policies, process_files
    from app.local.session import Session

    intakes = named(expand(paths, skip=output))
    if not intakes:
        raise UsageError("There is no file in the folders given.")
    failed: list[IndexLine] = []

    def take(line: IndexLine) -> None:
        if line.state is not State.SUCCEEDED:
            failed.append(line)
        if as_json:
            # Bytes: JSON is UTF-8, whatever the terminal speaks.
            sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
            sys.stdout.buffer.flush()

    config = settings()
    replicas = max_replicas or max(2, os.cpu_count() or 1)
    moving = not (as_json and sys.stdout.isatty())
    title = f"{len(intakes):,} documents to {show.plain(str(output))}"
    busy = f"Another run is writing its results to {output}: wait for it, or choose another folder."
    with (
        claimed(output, otherwise=busy),
        Session(config, policies(replicas)) as session,
        LiveView(len(intakes), title, moving=moving) as view,
    ):
        process_files(
            session,
            intakes,
            output,
            options=Options(ocr=ocr, password=password),
            on_line=take,
            on_progress=view.update,
        )
    for line in failed:
        typer.echo(show.plain(f"{line.source}: {line.error}: {line.message}"), err=True)
    good, index = len(intakes) - len(failed), show.plain(str(output / INDEX))
    typer.echo(f"{good:,} of {len(intakes):,} succeeded; the index is {index}.", err=True)
    if failed:
        raise typer.Exit(3)
