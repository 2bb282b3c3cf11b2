"""One worker: a Celery worker for one queue, started fast and ended with care.

`python -m app.worker pdf` is what a container and the local fleet run. It is `celery worker` without the
imports of its command line, without gossip and mingle, and with the sandbox child starting meanwhile.
"""

import argparse
import logging
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.config import GRACE_RESERVE_SECONDS, Settings, settings
from app.errors import FleetError, SettingsError
from app.queues import DOCUMENT_TASKS, Queue

if TYPE_CHECKING:
    from app.documents.sandbox import Sandbox
    from app.tasks.services import Services

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
    config = settings()
    check_settings(config)
    logging.basicConfig(level=config.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    sandbox = _early_sandbox(config, queue)
    from app.celery_app import app
    from app.tasks.services import services

    # A prefork pool builds its services in its children: obstore does not survive a fork.
    on = None if config.worker_pool == "prefork" else services()
    _install(app, on, config)
    if on is not None and sandbox is not None:
        on.adopt(sandbox)
    worker = app.Worker(
        hostname=f"{name}@%h",
        queues=[queue.value],
        pool=config.worker_pool,
        concurrency=config.worker_concurrency,
        loglevel=config.log_level,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        quiet=True,
    )
    try:
        worker.start()
    finally:
        if on is not None:
            on.close()
    return int(worker.exitcode or 0)


def _early_sandbox(config: Settings, queue: Queue) -> "Sandbox | None":
    """Start the parsing child first: its imports run on another core while Celery's run here."""
    if config.worker_pool != "solo" or queue not in DOCUMENT_TASKS:
        return None
    from app.documents.limits import limits_of
    from app.documents.sandbox import Sandbox

    sandbox = Sandbox(limits_of(config), max_documents=config.sandbox_max_documents)
    sandbox.start()
    return sandbox


def _install(app: Any, on: "Services | None", config: Settings) -> None:
    """Connect the worker's signs of life and its way out to Celery's signals."""
    from celery.signals import worker_ready, worker_shutting_down
    from celery.worker import state

    heartbeat = Heartbeat(config.heartbeat_file)
    app.steps["worker"].add(heartbeat.step())
    if on is not None:
        on.on_wait = heartbeat.beat

    def bound_the_grace(how: str, **_: Any) -> None:
        if how == "Warm":
            seconds = config.grace_seconds - GRACE_RESERVE_SECONDS
            patience = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGQUIT))
            patience.daemon = True
            patience.start()

    def say_ready(**_: Any) -> None:
        heartbeat.begin()
        # Celery's own SIGQUIT ends pool children. Where the work runs in this process there are none: it is
        # cut short instead, and its messages go back by being rejected.
        if on is not None:
            signal.signal(signal.SIGQUIT, quit_now)

    def quit_now(*_: object) -> None:
        state.should_stop = os.EX_OK
        if on is not None:
            on.interrupt()

    worker_shutting_down.connect(bound_the_grace, weak=False)
    worker_ready.connect(say_ready, weak=False)


class Heartbeat:
    """A file that appears when the worker takes messages, and is touched while its loop or its work goes on.

    Args:
        name: The file's path; empty for none.
    """

    def __init__(self, name: str) -> None:
        self._path = Path(name) if name else None
        self._begun = False

    def begin(self) -> None:
        """Say that the worker is ready."""
        self._begun = True
        self.beat()

    def beat(self) -> None:
        """Say that it still is."""
        if self._path is not None and self._begun:
            self._path.touch()

    def step(self) -> type:
        """Return the boot step that beats once a second from the worker's loop."""
        from celery import bootsteps

        beat = self.beat

        class Beating(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery carries no types
            requires = ("celery.worker.components:Timer",)

            def start(self, parent: Any) -> None:
                parent.timer.call_repeatedly(1.0, beat)

        return Beating


def main(argv: list[str] | None = None) -> int:
    """Run `python -m app.worker QUEUE [--name NAME]`; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m app.worker", description="Run a worker for one queue.")
    parser.add_argument("queue", choices=[queue.value for queue in Queue])
    parser.add_argument("--name", help="node name; must differ from every other worker's")
    arguments = parser.parse_args(argv)
    try:
        return run(Queue(arguments.queue), arguments.name or f"{arguments.queue}-{os.getpid()}")
    except FleetError as error:
        sys.stderr.write(f"{error.message}\n")
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
