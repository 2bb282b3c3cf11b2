"""Runs a worker or beat that retries for a shorter time, so that an absence of seconds shows what minutes would.

Its pauses are half as long as the fleet's, and the lease of beat is a quarter of it:
`python -m tests.support.impatient worker pdf`, or `beat`.
"""

import sys
from collections.abc import Sequence

from app.ledger import connection

PAUSE_SECONDS = 1.0
LEASE_SECONDS = 5.0


def main(role: str, *arguments: str) -> int:
    connection.LONGEST_PAUSE_SECONDS = PAUSE_SECONDS
    return _beat() if role == "beat" else _worker(arguments)


def _worker(arguments: Sequence[str]) -> int:
    from app.worker import consumer
    from app.worker.main import main as work

    consumer.LONGEST_PAUSE_SECONDS = PAUSE_SECONDS
    return work(list(arguments))


def _beat() -> int:
    from app.worker import beat
    from app.worker.celery_app import app

    app.conf.redbeat_lock_timeout = LEASE_SECONDS
    beat.run()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
