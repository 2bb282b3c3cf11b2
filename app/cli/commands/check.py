"""`fleet check`."""

from typing import Annotated

import typer

from app.cli.views import show
from app.client.check import check_fleet


def check(
    timeout: Annotated[
        float,
        typer.Option(min=1, metavar="SECONDS", help="Fail after this time, the start of a worker included."),
    ] = 120.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the two times as JSON.")] = False,
) -> None:
    """Send one PDF through a remote fleet and read its results back.

    FLEET_REDIS_URL and FLEET_STORE_URL name the fleet's Redis and its object store.

    Example: fleet check --timeout 60
    """
    passage = check_fleet(timeout)
    if as_json:
        typer.echo(show.as_line(passage))
        return
    typer.echo(
        f"The fleet works: a worker started the PDF after {passage.started_seconds:.1f} s and settled it after "
        f"{passage.settled_seconds:.1f} s; its text and thumbnail were read back."
    )
