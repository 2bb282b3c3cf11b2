"""The tasks: plain functions that a worker runs when a message names them."""

import os

from celery import Celery
from celery.app.task import Task

REDIS_URL = os.environ.get("FLEET_REDIS_URL") or "redis://localhost:6379/0"
QUEUE = "tutorial"
EXPRESS_QUEUE = "tutorial.express"
FAILED_ATTEMPTS = 2
"""How often `flaky_add` asks for a retry before it succeeds."""
GATE_SECONDS = 30
"""How long `gated_add` waits to be let through before it gives up."""

app = Celery("tutorial", broker=REDIS_URL, backend=REDIS_URL)
app.conf.update(
    task_default_queue=QUEUE,
    # STARTED is not recorded by default: it costs a write for each task.
    task_track_started=True,
    # Keeps the task's name, arguments and queue beside its result, for people who look.
    result_extended=True,
    # Results nobody fetches are not kept for ever (seconds).
    result_expires=3_600,
    broker_connection_retry_on_startup=True,
    # A client whose server went away says so after a second, not after twenty.
    result_backend_transport_options={"retry_policy": {"max_retries": 3, "interval_step": 0.2}},
)


# Celery ships no types, so mypy takes its decorator for an untyped one: hence the ignores.


@app.task(name="math.add")  # type: ignore[untyped-decorator]
def add(x: int, y: int) -> int:
    """Return x + y."""
    return x + y


@app.task(name="math.divide")  # type: ignore[untyped-decorator]
def divide(x: int, y: int) -> float:
    """Return x / y.

    Raises:
        ZeroDivisionError: when y is 0; the task then ends as FAILURE and carries the exception.
    """
    return x / y


@app.task(name="math.gated_add", bind=True)  # type: ignore[untyped-decorator]
def gated_add(self: Task, x: int, y: int) -> int:
    """Return x + y once the client has opened this task's gate: long enough to be seen as STARTED.

    Raises:
        TimeoutError: when nobody opens the gate within `GATE_SECONDS`.
    """
    if app.backend.client.blpop([gate_key(self.request.id)], timeout=GATE_SECONDS) is None:
        raise TimeoutError(f"nobody opened the gate within {GATE_SECONDS} s")
    return x + y


@app.task(name="math.flaky_add", bind=True, max_retries=3)  # type: ignore[untyped-decorator]
def flaky_add(self: Task, x: int, y: int) -> int:
    """Return x + y at the third attempt; those before ask for a retry, as after a lost connection.

    Raises:
        celery.exceptions.Retry: twice; the worker then records RETRY and sends the message again.
    """
    if self.request.retries < FAILED_ATTEMPTS:
        cause = ConnectionError(f"attempt {self.request.retries + 1} found nobody at home")
        raise self.retry(exc=cause, countdown=0.2)
    return x + y


def gate_key(task_id: str) -> str:
    """The Redis list that the task `task_id` waits on."""
    return f"tutorial:gate:{task_id}"


def open_gate(task_id: str) -> None:
    """Let the waiting task `task_id` through; the key goes away by itself if the task never comes."""
    with app.backend.client.pipeline() as pipe:
        pipe.rpush(gate_key(task_id), "open").expire(gate_key(task_id), 2 * GATE_SECONDS).execute()
