"""One worker: a Celery worker for one queue that starts fast and shuts down in order.

Containers and the local fleet run `python -m app.worker pdf`: `celery worker` without the imports of Celery's command
line and without gossip and mingle. The sandbox's child starts at the same time.
"""

import argparse
import gc
import logging
import os
import signal
import socket
import sys
from typing import TYPE_CHECKING

from app.config import Settings, settings
from app.errors import FleetError, SettingsError
from app.queues import DOCUMENT_TASKS, Queue
from app.runtime.lifeline import STDIN, when_it_ends

if TYPE_CHECKING:
    from app.sandbox.sandbox import Sandbox


def check_settings(config: Settings) -> None:
    """Refuse settings with which a worker could do nothing.

    Raises:
        SettingsError: the message names the missing or unusable setting.
    """
    config.require("redis_url")
    if config.require("store_url").startswith("memory:"):
        raise SettingsError(
            "FLEET_STORE_URL=memory:// lives in one process: a worker needs file:// or s3://."
        )


def run(queue: Queue, name: str) -> int:
    """Run a worker for `queue` until it is stopped; return its exit code.

    Raises:
        FleetError: the settings cannot work.
    """
    # Imports create many lasting objects and no garbage; garbage collection would take a tenth of the start.
    # `app.worker.lifecycle` enables it again when the worker is ready.
    gc.disable()
    config = settings()
    check_settings(config)
    # A container's PID 1 ignores a signal that it does not handle: a SIGTERM during the start would have no effect, and
    # SIGKILL would follow in the middle of a document. Celery replaces this handler when the worker has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    logging.basicConfig(level=config.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    sandbox = _early_sandbox(config, queue)
    from app.worker.celery_app import app
    from app.worker.services import worker_services

    if sandbox is not None:
        worker_services().sandbox = sandbox
    worker = app.Worker(
        hostname=f"{name}@{socket.gethostname()}",  # only Celery's command line expands "%h"
        queues=[queue.value],
        loglevel=config.log_level,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        quiet=True,
    )
    worker.start()
    return int(worker.exitcode or 0)


def _early_sandbox(config: Settings, queue: Queue) -> "Sandbox | None":
    """Return a sandbox whose child is starting: its imports run on another core during Celery's here."""
    if queue not in DOCUMENT_TASKS:
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
    parser.add_argument("--name", help="node name; must be unique among the workers")
    parser.add_argument(
        "--until-eof", action="store_true", help="stop, as on SIGTERM, when standard input is closed"
    )
    arguments = parser.parse_args(argv)
    if arguments.until_eof:
        when_it_ends(STDIN, lambda: os.kill(os.getpid(), signal.SIGTERM))
    try:
        return run(Queue(arguments.queue), arguments.name or f"{arguments.queue}-{os.getpid()}")
    except FleetError as error:
        sys.stderr.write(f"{error.message}\n")
        return error.exit_code
