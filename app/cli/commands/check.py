"""`fleet check`."""

from typing import Annotated

import typer

from app.cli.views import show


def check(
    timeout: Annotated[
        float, typer.Option(min=1, help="Seconds that all of it may take; a worker may have to start first.")
    ] = 120.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Send one PDF through a fleet whose Redis and store are elsewhere, and read its text back.

    Example: fleet check --timeout 60
    """
    from app.client.check import check_fleet

    passage = check_fleet(timeout)
    if as_json:
        typer.echo(show.as_line(passage))
        return
    typer.echo(
        f"The fleet works: a PDF was taken after {passage.started_seconds:.1f} s and settled after "
        f"{passage.settled_seconds:.1f} s; its text and thumbnail were read back."
    )
