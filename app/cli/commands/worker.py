"""`fleet worker`."""

import sys
from typing import Annotated

import typer

from app.queues import Queue


def worker(
    queues: Annotated[list[Queue], typer.Argument(help="Queues to work for; a process for each.")],
    reload: Annotated[
        bool, typer.Option("--reload", help="Start anew whenever the source changes; for development.")
    ] = False,
) -> None:
    """Work for one or more queues of a fleet whose Redis is elsewhere, until SIGTERM.

    FLEET_REDIS_URL and FLEET_STORE_URL say where the fleet is.

    Example: FLEET_REDIS_URL=redis://:secret@redis:6379 FLEET_STORE_URL=s3://documents fleet worker pdf ocr
    """
    wanted = list(dict.fromkeys(queues))
    if reload:
        from app.worker.reload import run_reloading

        raise typer.Exit(run_reloading([sys.executable, "-m", "app.cli.main", "worker", *wanted]))
    from app.worker.crew import run_workers

    raise typer.Exit(run_workers(wanted))
