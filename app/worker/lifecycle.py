"""A worker's signs of life and its way out, tied to Celery's signals: the same under every command that starts one."""

import gc
import os
import signal
import threading
from typing import Any

from celery import Celery, bootsteps
from celery.concurrency.prefork import TaskPool as PreforkPool
from celery.concurrency.solo import TaskPool as SoloPool
from celery.signals import worker_ready, worker_shutdown, worker_shutting_down
from celery.worker import state

from app.config import GRACE_RESERVE_SECONDS, Settings, settings
from app.runtime.heartbeat import Heartbeat
from app.worker import transport
from app.worker.celery_app import app as fleet
from app.worker.services import services


def beating(heartbeat: Heartbeat) -> type:
    """Return the boot step that touches the heartbeat once a second from the worker's loop."""

    class Beating(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery carries no types
        requires = ("celery.worker.components:Timer",)

        def start(self, parent: Any) -> None:
            parent.timer.call_repeatedly(1.0, heartbeat.beat)

    return Beating


def install(app: Celery, config: Settings) -> None:
    """Connect a worker's life to `app`'s signals."""
    heartbeat = Heartbeat(config.heartbeat_file)
    app.steps["worker"].add(beating(heartbeat))

    def bound_the_grace(how: str, **_: Any) -> None:
        if how == "Warm":
            seconds = config.grace_seconds - GRACE_RESERVE_SECONDS
            patience = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGQUIT))
            patience.daemon = True
            patience.start()

    def begin(sender: Any, **_: Any) -> None:
        gc.freeze()  # what the imports made stays, and need not be looked through with every collection
        gc.enable()
        heartbeat.begin()
        # A prefork pool's work is in its children: Celery's own SIGQUIT ends them, and obstore would not
        # survive the fork of services built here. Where the work runs in this process it is cut short
        # instead, and its messages go back by being rejected.
        if not isinstance(sender.pool, PreforkPool):
            services().on_wait = heartbeat.beat
            services().ledger.on_noted = transport.noted
            services().ledger.on_acknowledged = transport.acknowledged
            if isinstance(sender.pool, SoloPool):
                transport.defer_notes()
            signal.signal(signal.SIGQUIT, quit_now)

    def quit_now(*_: object) -> None:
        state.should_stop = os.EX_OK
        services().interrupt()

    def end(**_: Any) -> None:
        if services.cache_info().currsize:
            services().close()

    worker_shutting_down.connect(bound_the_grace, weak=False)
    worker_ready.connect(begin, weak=False)
    worker_shutdown.connect(end, weak=False)


install(fleet, settings())
