"""`fleet quarantine`: documents that were started too often and never finished."""

from typing import Annotated

import typer

from app.cli.views import show

app = typer.Typer(
    help="Look at documents that were set aside, send them again, or drop them.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
Json = Annotated[bool, typer.Option("--json", help="Print JSON, a line a document.")]
Documents = Annotated[list[str] | None, typer.Argument(help="Document ids.")]
All = Annotated[bool, typer.Option("--all", help="Every quarantined document.")]


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the quarantined documents.

    Example: fleet quarantine list --json
    """
    from app.client.connect import connect
    from app.client.quarantine import quarantined

    ledger = connect()
    show.documents(quarantined(ledger, []), as_json=as_json)


@app.command("show")
def show_(document: Annotated[str, typer.Argument(help="A document's id.")], as_json: Json = False) -> None:
    """Show all that is known of one quarantined document.

    Example: fleet quarantine show 0d884bd2-dabf-4876-a014-99d5dde0342b
    """
    from app.client.connect import connect
    from app.client.quarantine import quarantined

    ledger = connect()
    show.document(quarantined(ledger, [document])[0], as_json=as_json)


@app.command("retry")
def retry(documents: Documents = None, everything: All = False) -> None:
    """Send quarantined documents again, with their attempts at zero.

    Example: fleet quarantine retry --all
    """
    from app.client.connect import connect
    from app.client.quarantine import quarantined, retry_quarantined

    _require(documents, everything)
    ledger = connect()
    typer.echo(f"{retry_quarantined(ledger, quarantined(ledger, documents or []))} sent again.")


@app.command("drop")
def drop(documents: Documents = None, everything: All = False) -> None:
    """Take documents out of the quarantine for good, and delete their originals.

    Example: fleet quarantine drop 0d884bd2-dabf-4876-a014-99d5dde0342b
    """
    from app.client.connect import connect
    from app.client.quarantine import drop_quarantined, quarantined

    _require(documents, everything)
    ledger = connect()
    typer.echo(f"{drop_quarantined(ledger, quarantined(ledger, documents or []))} dropped.")


def _require(documents: list[str] | None, everything: bool) -> None:
    if bool(documents) == everything:
        raise typer.BadParameter("Name documents, or give --all.")
