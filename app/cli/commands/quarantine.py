"""`fleet quarantine`."""

from typing import Annotated

import typer

from app.cli.views import show
from app.client.connect import connect
from app.client.quarantine import drop_quarantined, quarantined, retry_quarantined

app = typer.Typer(no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print one line of JSON per document.")]
Documents = Annotated[
    list[str] | None, typer.Argument(metavar="DOCUMENT", help="Choose the documents with these ids.")
]
All = Annotated[bool, typer.Option("--all", help="Choose every quarantined document.")]


@app.callback()
def quarantine() -> None:
    """List, show, retry or drop quarantined documents.

    A document is quarantined when each worker that started it died, or when transient errors used up all its
    retries. FLEET_REDIS_URL names the Redis of the remote fleet.
    """


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the quarantined documents.

    Example: fleet quarantine list --json
    """
    ledger = connect()
    show.documents(quarantined(ledger, []), as_json=as_json)


@app.command("show")
def show_(
    document: Annotated[str, typer.Argument(metavar="DOCUMENT", help="Choose the document with this id.")],
    as_json: Json = False,
) -> None:
    """Show everything known about one quarantined document.

    Example: fleet quarantine show 0d884bd2-dabf-4876-a014-99d5dde0342b
    """
    ledger = connect()
    show.document(quarantined(ledger, [document])[0], as_json=as_json)


@app.command("retry")
def retry(documents: Documents = None, everything: All = False) -> None:
    """Send quarantined documents again, their attempts reset to zero.

    Example: fleet quarantine retry --all
    """
    _require(documents, everything)
    ledger = connect()
    typer.echo(f"{retry_quarantined(ledger, quarantined(ledger, documents or []))} sent again.")


@app.command("drop")
def drop(documents: Documents = None, everything: All = False) -> None:
    """Remove quarantined documents from the ledger and delete their originals.

    FLEET_STORE_URL names the object store with the originals.

    Example: fleet quarantine drop 0d884bd2-dabf-4876-a014-99d5dde0342b
    """
    _require(documents, everything)
    ledger = connect()
    typer.echo(f"{drop_quarantined(ledger, quarantined(ledger, documents or []))} dropped.")


def _require(documents: list[str] | None, everything: bool) -> None:
    if bool(documents) == everything:
        raise typer.BadParameter("Name documents, or give --all.")
