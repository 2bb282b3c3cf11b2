"""`fleet worker`."""

import sys
from typing import Annotated

import typer

from app.queues import Queue
from app.worker.crew import run_workers


def worker(
    queues: Annotated[
        list[Queue], typer.Argument(metavar="QUEUE", help="Run one worker process for each of these queues.")
    ],
    reload: Annotated[
        bool,
        typer.Option("--reload", help="Restart the workers whenever the source changes (for development)."),
    ] = False,
) -> None:
    """Run one or more workers of a remote fleet until SIGTERM.

    FLEET_REDIS_URL and FLEET_STORE_URL name the fleet's Redis and its object store.

    Example: fleet worker pdf ocr
    """
    chosen = list(dict.fromkeys(queues))
    if not reload:
        raise typer.Exit(run_workers(chosen))
    # Late: only development needs the extra `reload`.
    from app.worker.reload import run_reloading  # noqa: PLC0415

    raise typer.Exit(run_reloading([sys.executable, "-m", "app.cli.main", "worker", *chosen]))
