"""The tasks: plain functions; a worker runs one when a message names it."""

import os

from celery import Celery
from celery.app.task import Task

REDIS_URL = os.environ.get("FLEET_REDIS_URL") or "redis://localhost:6379/0"
QUEUE = "tutorial"
EXPRESS_QUEUE = "tutorial.express"
FAILED_ATTEMPTS = 2
"""How often `flaky_add` asks for a retry before it succeeds."""
GATE_SECONDS = 30
"""How long `gated_add` waits for its gate to open before it gives up."""

app = Celery("tutorial", broker=REDIS_URL, backend=REDIS_URL)
app.conf.update(
    task_default_queue=QUEUE,
    # Celery does not record STARTED by default: it costs a write for each task.
    task_track_started=True,
    # Stores the task's name, arguments and queue beside its result, for people who inspect it.
    result_extended=True,
    # Redis drops results that nobody fetches after this long (seconds).
    result_expires=3_600,
    broker_connection_retry_on_startup=True,
    # A client whose server went away fails after a second, not after twenty.
    result_backend_transport_options={"retry_policy": {"max_retries": 3, "interval_step": 0.2}},
)


# The ignores: Celery ships no types, so mypy treats its decorator as untyped.


@app.task(name="math.add")  # type: ignore[untyped-decorator]
def add(x: int, y: int) -> int:
    """Return x + y."""
    return x + y


@app.task(name="math.divide")  # type: ignore[untyped-decorator]
def divide(x: int, y: int) -> float:
    """Return x / y.

    Raises:
        ZeroDivisionError: if y is 0; the task then ends as FAILURE with this exception as its result.
    """
    return x / y


@app.task(name="math.gated_add", bind=True)  # type: ignore[untyped-decorator]
def gated_add(self: Task, x: int, y: int) -> int:
    """Return x + y after the client has opened this task's gate, so that the client can see STARTED.

    Raises:
        TimeoutError: if nobody opens the gate within `GATE_SECONDS`.
    """
    if app.backend.client.blpop([gate_key(self.request.id)], timeout=GATE_SECONDS) is None:
        raise TimeoutError(f"nobody opened the gate within {GATE_SECONDS} s")
    return x + y


@app.task(name="math.flaky_add", bind=True, max_retries=3)  # type: ignore[untyped-decorator]
def flaky_add(self: Task, x: int, y: int) -> int:
    """Return x + y at the third attempt; the first two request a retry, as after a lost connection.

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
    """Open the gate of the task `task_id`; the key expires if the task never reads it."""
    with app.backend.client.pipeline() as pipe:
        pipe.rpush(gate_key(task_id), "open").expire(gate_key(task_id), 2 * GATE_SECONDS).execute()
