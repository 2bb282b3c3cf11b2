"""The Celery application and every transport setting, each with its reason.

`celery -A app.celery_app worker -Q pdf` works as anywhere; `python -m app.worker pdf` starts the same worker
without the command line's import time.
"""

import ssl
import sys
from typing import Any
from urllib.parse import urlsplit

from celery import Celery
from celery.signals import celeryd_after_setup
from kombu import Queue as KombuQueue
from kombu.transport import TRANSPORT_ALIASES

from app.config import Settings, settings
from app.errors import SettingsError
from app.ledger.connection import authorities, patient_options
from app.queues import ROUTES, Queue, TaskName, inflight_index_key, inflight_key

# What a broker's URL means in this process: kombu finds a transport by the URL's scheme, through this table.
TRANSPORT_ALIASES.update(dict.fromkeys(("redis", "rediss"), "app.worker.transport:Transport"))


TASK_MODULES = [
    "app.worker.lifecycle",
    "app.worker.tasks.ocr",
    "app.worker.tasks.pdf",
    "app.worker.tasks.upkeep",
]
"""What a worker imports: the tasks, and what ties them to its life."""
BEAT_INTERVAL_SECONDS = 2.0
"""How often beat looks at its schedule at least, and shows that it lives."""
BEAT_LOCK_SECONDS = 20.0
"""How long a beat that was killed keeps the next one waiting; each look renews it."""


def broker_url(redis_url: str) -> str:
    """Spell a Redis URL as kombu does, whose scheme for a unix socket is another."""
    if urlsplit(redis_url).scheme == "unix":
        return "redis+socket" + redis_url.removeprefix("unix")
    return redis_url


def inflight_options(queue: str, prefix: str) -> dict[str, str]:
    """Transport options that give a queue in-flight keys of its own, so that its running work is one HLEN."""
    return {
        "unacked_key": inflight_key(queue, prefix),
        "unacked_index_key": inflight_index_key(queue, prefix),
        "unacked_mutex_key": f"{prefix}inflight-mutex:{queue}",
    }


def tls_options(config: Settings) -> dict[str, Any] | None:
    """Return how a rediss:// server is to be trusted; None for a server without TLS."""
    if urlsplit(config.redis_url).scheme != "rediss":
        return None
    return {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_ca_certs": authorities(config)}


def transport_options(config: Settings) -> dict[str, Any]:
    """Return the options of kombu's Redis transport."""
    return {
        # One list a queue: with more, a priority would hide part of the queue from KEDA's LLEN.
        "priority_steps": [0],
        # Longer than any task with its grace, or Redis would hand out a document that is still being read.
        "visibility_timeout": config.visibility_timeout_seconds,
        # How often, and at which of those times, overdue messages are looked for: each time.
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
        # A peer that vanished without a word is noticed.
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
        # What a message says is data, never code.
        task_serializer="json",
        result_serializer="json",
        accept_content=["json"],
        task_compression=None,
        # A message is acknowledged when its document is settled; a worker that dies gives it back.
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        # A worker takes one message at a time: what it hoards, KEDA and the other workers cannot see.
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        worker_eta_task_limit=100,
        # Documents answer through the ledger; Celery's own results are for those who ask for them.
        task_ignore_result=True,
        result_expires=config.result_expires_seconds,
        task_soft_time_limit=config.soft_limit_seconds,
        task_time_limit=config.hard_limit_seconds,
        # True would cancel running work on a lost connection, which Redis then does not give back.
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        broker_transport_options=transport_options(config),
        broker_use_ssl=tls,
        redis_backend_use_ssl=tls,
        result_backend_transport_options={"retry_policy": {"timeout": 5.0}},
        redis_socket_timeout=config.socket_timeout_seconds,
        redis_retry_on_timeout=True,
        task_default_queue=Queue.DEFAULT.value,
        task_create_missing_queues=False,
        task_queues=[KombuQueue(queue.value, routing_key=queue.value) for queue in Queue],
        task_routes={name.value: {"queue": queue.value} for name, queue in ROUTES.items()},
        # Nothing reads the event stream by default, and it costs a publish a task.
        worker_send_task_events=False,
        task_send_sent_event=False,
        # Gossip and mingle are off on the command line too: they cost a second of every start.
        worker_enable_remote_control=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        timezone="UTC",
        # The schedule, when each entry last ran, and the lock that lets one beat send at a time are in Redis.
        beat_scheduler="app.worker.beat:Scheduler",
        beat_max_loop_interval=BEAT_INTERVAL_SECONDS,
        redbeat_redis_url=config.redis_url,
        redbeat_key_prefix=f"{config.key_prefix}beat:",
        redbeat_lock_timeout=BEAT_LOCK_SECONDS,
        redbeat_redis_use_ssl=tls,
        redbeat_redis_options=patient_options(config),
        beat_schedule={
            "reconcile": {
                "task": TaskName.RECONCILE.value,
                "schedule": config.reconcile_seconds,
                # One that could not run in time is not missed: the next is there.
                "options": {"expires": config.reconcile_seconds * 3},
            }
        },
    )
    return app


app = build_app(settings())


def _name_inflight_keys(instance: Any, conf: Any, **_: Any) -> None:
    """Give a worker the in-flight keys of the queue that it consumes."""
    if instance.app is not app:
        return
    queues = sorted(instance.app.amqp.queues.consume_from)
    if len(queues) != 1:
        sys.stderr.write(
            f"A worker consumes one queue, so that its running work is counted there; this one was given "
            f"{', '.join(queues)}: start one for each (-Q pdf), or run `fleet worker {' '.join(queues)}`.\n"
        )
        # Celery logs any lesser exception of a signal's receiver and goes on.
        raise SystemExit(SettingsError.exit_code)
    options = inflight_options(queues[0], settings().key_prefix)
    conf.broker_transport_options = {**conf.broker_transport_options, **options}


celeryd_after_setup.connect(_name_inflight_keys, weak=False)
