"""One worker: a Celery worker for one queue, started fast and ended with care.

`python -m app.worker pdf` is what a container and the local fleet run. It is `celery worker` without the
imports of its command line, without gossip and mingle, and with the sandbox child starting meanwhile.
"""

import argparse
import gc
import logging
import os
import signal
import socket
import sys
from types import FrameType
from typing import TYPE_CHECKING

from app.config import Settings, settings
from app.errors import FleetError, SettingsError
from app.queues import DOCUMENT_TASKS, Queue
from app.runtime.lifeline import STDIN, when_it_ends

if TYPE_CHECKING:
    from app.sandbox.sandbox import Sandbox

logger = logging.getLogger(__name__)


def check_settings(config: Settings) -> None:
    """Refuse to start a worker that could do nothing.

    Raises:
        SettingsError: naming what is missing.
    """
    if not config.redis_url:
        raise SettingsError("Set FLEET_REDIS_URL to the Redis server that the fleet shares.")
    if not config.store_url:
        raise SettingsError("Set FLEET_STORE_URL to the object store that the fleet shares.")
    if config.store_url.startswith("memory:"):
        raise SettingsError(
            "FLEET_STORE_URL=memory:// lives in one process: a worker needs file:// or s3://."
        )


def run(queue: Queue, name: str) -> int:
    """Run a worker for `queue` until it is told to stop; return its exit code.

    Raises:
        FleetError: where the settings cannot work.
    """
    # Imports make much that lives for good and no rubbish: looking through it again and again is a tenth of a start.
    # `app.worker.lifecycle` turns it on again when the worker is ready.
    gc.disable()
    config = settings()
    check_settings(config)
    # As a container's PID 1 a process is deaf to a signal that it does not handle: ended in these seconds, the worker
    # would go on, and be killed over a document at the end of its grace. Once it has started, Celery handles it.
    signal.signal(signal.SIGTERM, _end_before_work)
    logging.basicConfig(level=config.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    sandbox = _early_sandbox(config, queue)
    from app.worker.celery_app import app
    from app.worker.services import services

    if sandbox is not None:
        services().adopt(sandbox)
    worker = app.Worker(
        hostname=f"{name}@{socket.gethostname()}",  # only Celery's command line knows "%h"
        queues=[queue.value],
        pool=config.worker_pool,
        concurrency=config.worker_concurrency,
        loglevel=config.log_level,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        quiet=True,
    )
    worker.start()
    return int(worker.exitcode or 0)


def _end_before_work(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


def _early_sandbox(config: Settings, queue: Queue) -> "Sandbox | None":
    """Start the parsing child first: its imports run on another core while Celery's run here."""
    if config.worker_pool != "solo" or queue not in DOCUMENT_TASKS:
        return None
    from app.sandbox.limits import limits_of
    from app.sandbox.sandbox import Sandbox

    sandbox = Sandbox(limits_of(config), max_documents=config.sandbox_max_documents)
    sandbox.start()
    return sandbox


def main(argv: list[str] | None = None) -> int:
    """Run `python -m app.worker QUEUE [--name NAME] [--until-eof]`; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m app.worker", description="Run a worker for one queue.")
    parser.add_argument("queue", choices=[queue.value for queue in Queue])
    parser.add_argument("--name", help="node name; must differ from every other worker's")
    parser.add_argument(
        "--until-eof", action="store_true", help="end, as on SIGTERM, when standard input does"
    )
    arguments = parser.parse_args(argv)
    if arguments.until_eof:
        when_it_ends(STDIN, lambda: os.kill(os.getpid(), signal.SIGTERM))
    try:
        return run(Queue(arguments.queue), arguments.name or f"{arguments.queue}-{os.getpid()}")
    except FleetError as error:
        sys.stderr.write(f"{error.message}\n")
        return error.exit_code
