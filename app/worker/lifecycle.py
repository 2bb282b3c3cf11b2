"""A worker's heartbeat and shutdown, connected to Celery's signals: the same under every command that starts one."""

import gc
import os
import signal
import threading
from typing import Any

from celery import Celery, bootsteps
from celery.signals import worker_ready, worker_shutdown, worker_shutting_down
from celery.worker import state

from app.config import GRACE_RESERVE_SECONDS, Settings, settings
from app.queues import Queue
from app.runtime.heartbeat import Heartbeat
from app.worker.celery_app import app as fleet
from app.worker.presence import Presence
from app.worker.services import worker_services


def install(app: Celery, config: Settings) -> None:
    """Connect a worker's heartbeat and shutdown to `app`'s signals."""
    heartbeat = Heartbeat(config.heartbeat_file)
    presence: list[Presence] = []  # one from the moment the worker is ready

    class Beating(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery carries no types
        """Begins the heartbeat before the worker connects to its server; touches it once a second from its loop."""

        requires = ("celery.worker.components:Timer",)

        def start(self, parent: Any) -> None:
            heartbeat.begin()  # a worker that waits for its server has started, and a restart would not help it
            parent.timer.call_repeatedly(1.0, heartbeat.beat)

    app.steps["worker"].add(Beating)

    def bound_the_grace(how: str, **_: Any) -> None:
        if how == "Warm":
            seconds = config.grace_seconds - GRACE_RESERVE_SECONDS
            timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGQUIT))
            timer.daemon = True
            timer.start()
            for one in presence:
                one.leave_metric()

    def begin(**_: Any) -> None:
        gc.freeze()  # the garbage collector then skips the objects of the imports
        gc.enable()
        services = worker_services()
        services.sandbox.on_wait = heartbeat.beat
        taking = app.conf.broker_transport_options
        services.queue, services.worker = Queue(taking["queue"]), taking["worker"]
        presence.append(Presence(services))
        presence[0].begin()
        # Celery's own handler cannot interrupt work that runs in this process.
        signal.signal(signal.SIGQUIT, quit_now)

    def quit_now(*_: object) -> None:
        state.should_stop = os.EX_OK
        worker_services().sandbox.interrupt()  # its task then requeues the message

    def end(**_: Any) -> None:
        for one in presence:
            one.end()
        if worker_services.cache_info().currsize:
            worker_services().sandbox.close()

    worker_shutting_down.connect(bound_the_grace, weak=False)
    worker_ready.connect(begin, weak=False)
    worker_shutdown.connect(end, weak=False)


install(fleet, settings())
