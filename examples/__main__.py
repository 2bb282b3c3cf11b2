"""`python -m examples`: the whole tutorial.

The server at FLEET_REDIS_URL is used where that is set; otherwise an embedded one is started. Exit codes: 0
every step gave what it must, 1 one did not, 130 Ctrl-C, 128 + n another signal n.
"""

import signal
import sys
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def end(number: int, _frame: FrameType | None) -> None:
    """Leave by way of every `finally`, so that no process is left behind.

    Raises:
        SystemExit: always, with 128 + `number`.
    """
    for other in SIGNALS:
        signal.signal(other, signal.SIG_IGN)  # an impatient second Ctrl-C must not cut the ending short
    raise SystemExit(128 + number)


def main() -> None:
    """Run the tutorial and exit."""
    for number in SIGNALS:
        signal.signal(number, end)
    # Importing Celery takes long enough to press Ctrl-C in.
    from examples.run import run  # noqa: PLC0415

    sys.exit(run())


if __name__ == "__main__":
    main()
