"""The client: it sends tasks from a process of its own, and shows and checks their results.

Run it with `python -m examples`, which first starts a server and a worker. Exit code 0 means that every step gave the
expected result; 1 that one did not, and the last line says which.
"""

import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from celery.exceptions import TimeoutError as ResultTimeoutError
from celery.result import AsyncResult
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from examples.math_tasks import EXPRESS_QUEUE, add, divide, flaky_add, gated_add, open_gate

TIMEOUT_SECONDS = 10
"""How long a step waits for its result."""


class StepError(Exception):
    """A step of the tutorial did not give the expected result."""


def say(text: str = "") -> None:
    """Print a line and flush it, so that a reader at a pipe sees it at once."""
    print(text, flush=True)


def check(what: str, got: object, wanted: object) -> None:
    """Print the result `got` of `what`.

    Raises:
        StepError: if it differs from `wanted`.
    """
    say(f"   {what}: {got}")
    if got != wanted:
        raise StepError(f"{what} should be {wanted!r}, but is {got!r}")


def delay() -> None:
    """`delay` sends a message and returns at once; you fetch the result when you want it."""
    result = add.delay(4, 4)
    say(f"   id: {result.id} (anyone who knows it can ask for the result)")
    check("add.delay(4, 4).get(timeout=10)", result.get(timeout=TIMEOUT_SECONDS), 8)
    check("ready()", result.ready(), True)


def send_task() -> None:
    """`send_task` needs the task's name, not its code: another program sends it here."""
    try:
        sender = subprocess.run(
            [sys.executable, "-m", "examples.by_name"],
            check=True,
            capture_output=True,
            text=True,
            timeout=3 * TIMEOUT_SECONDS,
        )
    except subprocess.SubprocessError as error:
        raise StepError(f"the other program failed: {getattr(error, 'stderr', None) or error}") from error
    said = dict(line.split(": ", maxsplit=1) for line in sender.stdout.splitlines())
    check("the other program has the tasks' code", said["has the tasks' code"], "False")
    check('its send_task("math.add", args=[5, 5]).get(timeout=10)', said["result"], "10")
    # Two programs, one result: this one needs only the id to fetch it as well.
    say(f"   id: {said['id']}")
    check("the same result, fetched here by its id", add.AsyncResult(said["id"]).get(timeout=10), 10)


def countdown() -> None:
    """`countdown` is the least number of seconds before a worker may run the task."""
    sent = datetime.now(UTC)
    result = add.apply_async((2, 3), countdown=1)
    check("ready() right after sending", result.ready(), False)
    check("add.apply_async((2, 3), countdown=1)", result.get(timeout=TIMEOUT_SECONDS), 5)
    check("done at least 1 s later", result.date_done >= sent + timedelta(seconds=1), True)


def eta() -> None:
    """`eta` is the same as a point in time; give it a time zone."""
    when = datetime.now(UTC) + timedelta(seconds=1)
    result = add.apply_async((20, 3), eta=when)
    say(f"   eta: {when.isoformat(timespec='milliseconds')}")
    check("add.apply_async((20, 3), eta=...)", result.get(timeout=TIMEOUT_SECONDS), 23)
    say(f"   done: {result.date_done.isoformat(timespec='milliseconds')}")
    check("not before its eta", result.date_done >= when, True)


def explicit_queue() -> None:
    """A message goes to one queue; only workers that listen to that queue see it."""
    result = add.apply_async((6, 7), queue=EXPRESS_QUEUE)
    check(f"add.apply_async((6, 7), queue={EXPRESS_QUEUE!r})", result.get(timeout=TIMEOUT_SECONDS), 13)
    check("the queue it came through", result.queue, EXPRESS_QUEUE)


def states(result: AsyncResult, on_started: Callable[[], None] | None = None) -> list[str]:
    """Print each state of a task, as the worker announces it, until the task is done.

    Args:
        result: of a task that this process sent; only the sender receives every change.
        on_started: called when a worker has started the task.

    Returns:
        The states in order.
    """
    seen: list[str] = []

    def record(state: str) -> None:
        if not seen or seen[-1] != state:
            seen.append(state)
            say(f"   state: {state}")

    def on_message(meta: dict[str, Any]) -> None:
        # One connection receives the changes of every task of this process, earlier ones too.
        if meta["task_id"] != result.id:
            return
        record(meta["status"])
        if meta["status"] == "STARTED" and on_started is not None:
            on_started()

    record(result.state)
    result.get(timeout=TIMEOUT_SECONDS, on_message=on_message, propagate=False)
    return seen


def success() -> None:
    """PENDING -> STARTED -> SUCCESS. This task waits at a gate; the client opens it after STARTED."""
    result = gated_add.apply_async((30, 4), countdown=0.5)
    seen = states(result, on_started=lambda: open_gate(result.id))
    check("the way it went", " -> ".join(seen), "PENDING -> STARTED -> SUCCESS")
    check("result", result.result, 34)


def failure() -> None:
    """A task that raises ends as FAILURE: the exception travels back, and get() raises it here."""
    result = divide.delay(1, 0)
    try:
        result.get(timeout=TIMEOUT_SECONDS)
    except ZeroDivisionError as error:
        check("get() raised", f"{type(error).__name__}: {error}", "ZeroDivisionError: division by zero")
    check("state", result.state, "FAILURE")
    last_line = result.traceback.strip().splitlines()[-1]
    check("the worker's traceback ends in", last_line, "ZeroDivisionError: division by zero")


def retry() -> None:
    """A task may request a retry: RETRY, until it succeeds or its max_retries are used up."""
    result = flaky_add.apply_async((40, 5), countdown=0.5)
    seen = states(result)
    twice = "STARTED -> RETRY -> STARTED -> RETRY"
    check("the way it went", " -> ".join(seen), f"PENDING -> {twice} -> STARTED -> SUCCESS")
    check("result", result.result, 45)


STEPS: tuple[tuple[str, Callable[[], None]], ...] = (
    ("delay: send a task", delay),
    ("send_task: by name, without the task's code", send_task),
    ("apply_async with a countdown", countdown),
    ("apply_async with an eta", eta),
    ("apply_async to an explicit queue", explicit_queue),
    ("the life of a task that succeeds", success),
    ("a task that fails", failure),
    ("a task that is retried", retry),
)


def main() -> int:
    """Take every step in turn; return the exit code."""
    for number, (title, step) in enumerate(STEPS, start=1):
        say(f"\n{number}. {title}")
        say(f"   {(step.__doc__ or '').strip()}")
        try:
            step()
        except StepError as error:
            reason = str(error)
        except ResultTimeoutError:
            reason = f"no result within {TIMEOUT_SECONDS} s (is the worker still running?)"
        except (OperationalError, RedisError, RuntimeError) as error:
            # RuntimeError: Celery raises it if it has given up its result backend.
            reason = f"the server cannot be reached ({' '.join(str(error).split())})"
        else:
            continue
        say(f"\nStep {number} ({title}) went wrong: {reason}.")
        return 1
    say(f"\nAll {len(STEPS)} steps gave the expected results.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
