"""The Celery application of the fleet, with the reasons for its settings.

`celery -A app.celery_app worker -Q pdf` starts a worker as in any project; `python -m app.worker pdf` starts the same
worker without the import time of Celery's command line.
"""

import os
import ssl
import sys
import time
from typing import Any, NoReturn
from urllib.parse import urlsplit

from celery import Celery
from celery.schedules import crontab
from celery.signals import celeryd_after_setup, celeryd_init
from kombu import Queue as KombuQueue
from kombu.transport import TRANSPORT_ALIASES

from app.config import Settings, settings
from app.errors import SettingsError
from app.ledger.connection import authorities, connection_options
from app.ledger.keys import Keys
from app.queues import ROUTES, Queue, TaskName

# kombu's table of transports by a broker URL's scheme.
TRANSPORT_ALIASES.update(dict.fromkeys(("redis", "rediss"), "app.worker.transport:Transport"))

TASK_MODULES = [
    "app.worker.lifecycle",
    "app.worker.tasks.ocr",
    "app.worker.tasks.pdf",
    "app.worker.tasks.upkeep",
]
"""The modules that a worker imports: the tasks, and its heartbeat and shutdown."""
BEAT_INTERVAL_SECONDS = 2.0
"""The longest pause between two ticks of beat; each tick touches its heartbeat."""
BEAT_LOCK_SECONDS = 20.0
"""How long the lock of a killed beat keeps the next one waiting; each tick renews the lock."""


def broker_url(redis_url: str) -> str:
    """Return a Redis URL as kombu spells it: its scheme for a unix socket differs."""
    if urlsplit(redis_url).scheme == "unix":
        return "redis+socket" + redis_url.removeprefix("unix")
    return redis_url


def taking_options(queue: Queue, worker: str, keys: Keys) -> dict[str, str]:
    """Return the transport options of the worker that takes the messages of a queue."""
    return {
        "queue": queue.value,
        "worker": worker,
        "taken_key": keys.taken(queue, worker),
        "key_prefix": keys.prefix,
    }


def tls_options(config: Settings) -> dict[str, Any] | None:
    """Return the TLS options for a rediss:// server; None for a server without TLS."""
    if urlsplit(config.redis_url).scheme != "rediss":
        return None
    return {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_ca_certs": authorities(config)}


def transport_options(config: Settings) -> dict[str, Any]:
    """Return the options of kombu's Redis transport."""
    return {
        # One list per queue: the window of messages.
        "priority_steps": [0],
        "presence_seconds": config.presence_seconds,
        # Detects a peer that vanished without closing the connection.
        "socket_timeout": config.socket_timeout_seconds,
        "socket_connect_timeout": config.socket_timeout_seconds,
        "socket_keepalive": urlsplit(config.redis_url).scheme != "unix",
        "health_check_interval": 25,
    }


def build_app(config: Settings) -> Celery:
    """Make the Celery application for `config`."""
    url = broker_url(config.redis_url)
    tls = tls_options(config)
    app = Celery("pdf-fleet", broker=url, backend=url, include=TASK_MODULES, set_as_current=False)
    app.conf.update(
        # A message carries data, never code.
        task_serializer="json",
        result_serializer="json",
        accept_content=["json"],
        task_compression=None,
        # A worker acknowledges a message after its document is settled; the message of a dead worker is requeued.
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        # One process, one document: the sandbox's child isolates the parser already (docs/decisions/0005).
        worker_pool="solo",
        # One message at a time: KEDA and the other workers cannot see prefetched messages.
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        worker_eta_task_limit=100,
        # The ledger has the results of documents; tasks of other applications may still store one.
        task_ignore_result=True,
        result_expires=config.result_expires_seconds,
        # True would cancel running work when the connection is lost, and Redis would not deliver it again.
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        # It waits for its server as long as it takes, and beats meanwhile.
        worker_consumer="app.worker.consumer:Consumer",
        broker_transport_options=transport_options(config),
        broker_use_ssl=tls,
        redis_backend_use_ssl=tls,
        result_backend_transport_options={"retry_policy": {"timeout": 5.0}},
        redis_socket_timeout=config.socket_timeout_seconds,
        redis_retry_on_timeout=True,
        task_default_queue=Queue.DEFAULT.value,
        # Without an exchange a message goes to the queue of its routing key, and no binding has to be written.
        task_default_exchange="",
        task_create_missing_queues=False,
        task_queues=[KombuQueue(queue.value, routing_key=queue.value) for queue in Queue],
        task_routes={name.value: {"queue": queue.value} for name, queue in ROUTES.items()},
        # Nobody reads the event stream by default, and it costs a publish per task.
        worker_send_task_events=False,
        task_send_sent_event=False,
        # Gossip and mingle are off on the command line too: they cost a second of every start.
        worker_enable_remote_control=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        timezone="UTC",
        # Redis holds the schedule, each entry's last run, and the lock that lets one beat send at a time.
        beat_scheduler="app.worker.beat:Scheduler",
        # At a quiet hour (UTC: daylight saving would run it twice or not at all on two days a year).
        beat_schedule={
            TaskName.EXPIRE.value: {"task": TaskName.EXPIRE.value, "schedule": crontab(hour="3", minute="17")}
        },
        beat_max_loop_interval=BEAT_INTERVAL_SECONDS,
        redbeat_redis_url=config.redis_url,
        redbeat_key_prefix=f"{config.key_prefix}beat:",
        redbeat_lock_timeout=BEAT_LOCK_SECONDS,
        redbeat_redis_use_ssl=tls,
        redbeat_redis_options=connection_options(config),
    )
    return app


app = build_app(settings())


def _refuse_other_pools(instance: Any, conf: Any, options: dict[str, Any], **_: Any) -> None:
    """Refuse a worker whose pool is not solo."""
    pool = options.get("pool") or options.get("pool_cls") or conf.worker_pool
    name = pool if isinstance(pool, str) else pool.__module__.rpartition(".")[2]
    if instance.app is app and name != "solo":
        _refuse(
            f"A worker processes one document at a time in its own process, and the pool {name} would start others: "
            "leave out -P, and start more workers instead."
        )


def _name_worker(instance: Any, conf: Any, **_: Any) -> None:
    """Give a worker its name in the ledger, and the keys of its queue; refuse several queues."""
    if instance.app is not app:
        return
    queues = sorted(instance.app.amqp.queues.consume_from)
    if len(queues) != 1:
        _refuse(
            f"A worker consumes one queue, so that its running work counts there, and this one has "
            f"{', '.join(queues)}: start one worker for each (-Q pdf), or run `fleet worker {' '.join(queues)}`."
        )
    config = settings()
    # A restarted container has the host and the process id of the one before.
    worker = f"{instance.hostname}/{os.getpid()}.{time.time_ns() // 1_000_000:x}"
    options = taking_options(Queue(queues[0]), worker, Keys(config.key_prefix))
    conf.broker_transport_options = {**conf.broker_transport_options, **options}


def _refuse(sentence: str) -> NoReturn:
    sys.stderr.write(f"{sentence}\n")
    # Celery catches and logs any `Exception` of a signal's receiver.
    raise SystemExit(SettingsError.exit_code)


celeryd_init.connect(_refuse_other_pools, weak=False)
celeryd_after_setup.connect(_name_worker, weak=False)
