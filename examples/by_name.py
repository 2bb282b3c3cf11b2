"""A producer without the tasks' code: it sends a task by its name alone.

It knows the address of the broker, the name of the task and the queue of its workers. A producer and a worker share
nothing else: they may be in two repositories, and in two languages.
"""

import os
import sys

from celery import Celery


def main() -> None:
    """Send `math.add` with 5 and 5; print its id, its result, and whether this process has imported the tasks' code."""
    url = os.environ["FLEET_REDIS_URL"]
    app = Celery(broker=url, backend=url)
    result = app.send_task("math.add", args=[5, 5], queue="tutorial")
    answer = result.get(timeout=10)
    print(f"id: {result.id}")
    print(f"result: {answer}")
    print(f"has the tasks' code: {'examples.math_tasks' in sys.modules}")


if __name__ == "__main__":
    main()
