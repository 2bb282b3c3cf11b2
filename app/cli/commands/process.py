"""`fleet process`."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from app.cli.views import show
from app.cli.views.live import LiveView
from app.client.intake import expand, named
from app.config import settings
from app.documents.models import OcrMode
from app.errors import ExitCode, UsageError
from app.ledger.models import Options, State
from app.local.claim import claimed
from app.local.delivery import INDEX, IndexLine
from app.local.process import policies, process_files
from app.local.session import Session


def process(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="PATH", help="Process these files, and all files in these folders."),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Write the results to this folder.")
    ],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print each document's line of index.jsonl once it is settled.")
    ] = False,
    password: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT", envvar="PDF_PASSWORD", show_envvar=True, help="Decrypt documents with this."
        ),
    ] = None,
    ocr: Annotated[
        OcrMode, typer.Option(help="Run OCR on pages with an image and no text (auto), on none, or on all.")
    ] = OcrMode.AUTO,
    max_replicas: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Run at most N workers per queue (default: one per processor, at least 2).",
        ),
    ] = None,
) -> None:
    """Process files and folders with a fleet on this machine.

    The fleet starts with the command and ends with it. For each document FOLDER gets NAME/text.txt,
    NAME/thumbnail.jpg and NAME/document.json; index.jsonl has one line per document. The exit code is 3 if a
    document failed; standard error then names it with its error code.

    Example: fleet process ~/Documents/invoices --output results
    """
    intakes = named(expand(paths, skip=output))
    if not intakes:
        raise UsageError("There is no file in the folders given.")
    failed: dict[str, IndexLine] = {}

    def take(line: IndexLine) -> None:
        failed.pop(line.document_id, None)  # it was sent again out of the quarantine
        if line.state is not State.SUCCEEDED:
            failed[line.document_id] = line
        if as_json:
            # Bytes: JSON is UTF-8, whatever the terminal's encoding.
            sys.stdout.buffer.write(show.as_line(line).encode() + b"\n")
            sys.stdout.buffer.flush()

    config = settings()
    replicas = max_replicas or max(2, os.cpu_count() or 1)
    moving = not (as_json and sys.stdout.isatty())
    noun = "document" if len(intakes) == 1 else "documents"
    title = f"{len(intakes):,} {noun} to {show.plain(str(output))}"
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
            on_wait=view.note,
        )
    for line in failed.values():
        typer.echo(show.plain(f"{line.source}: {line.error}: {line.message}"), err=True)
    good, index = len(intakes) - len(failed), show.plain(str(output / INDEX))
    typer.echo(f"{good:,} of {len(intakes):,} succeeded; the index is {index}.", err=True)
    if failed:
        raise typer.Exit(ExitCode.SOME_DOCUMENTS_FAILED)
