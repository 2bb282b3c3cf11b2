"""Sends a task by its name alone: what a program does that does not have the tasks' code.

It knows where the broker is, what the task is called and which queue its workers listen to. That is all there
is between a producer and a worker: they may live in two repositories, and be written in two languages.
"""

import os
import sys

from celery import Celery


def main() -> None:
    """Send `math.add` with 5 and 5; print its id, its result, and whether the tasks' code was imported."""
    url = os.environ["FLEET_REDIS_URL"]
    app = Celery(broker=url, backend=url)
    result = app.send_task("math.add", args=[5, 5], queue="tutorial")
    answer = result.get(timeout=10)
    print(f"id: {result.id}")
    print(f"result: {answer}")
    print(f"has the tasks' code: {'examples.math_tasks' in sys.modules}")


if __name__ == "__main__":
    main()
