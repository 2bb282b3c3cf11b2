"""`python -m examples`: the whole tutorial.

It uses the server at FLEET_REDIS_URL if that is set; otherwise it starts an embedded one. Exit codes: 0 every step gave
the expected result, 1 one did not, 130 Ctrl-C, 128 + n another signal n.
"""

import signal
import sys
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def end(number: int, _frame: FrameType | None) -> None:
    """Exit through every `finally`, so that no process stays behind.

    Raises:
        SystemExit: always, with 128 + `number`.
    """
    for other in SIGNALS:
        signal.signal(other, signal.SIG_IGN)  # a second Ctrl-C must not interrupt the clean-up
    raise SystemExit(128 + number)


def main() -> None:
    """Run the tutorial and exit."""
    for number in SIGNALS:
        signal.signal(number, end)
    # Late, because a Ctrl-C may come during the import of Celery.
    from examples.run import run  # noqa: PLC0415

    sys.exit(run())


if __name__ == "__main__":
    main()
