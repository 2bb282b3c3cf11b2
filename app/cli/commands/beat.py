"""`fleet beat`."""

from app.worker.beat import run


def beat() -> None:
    """Run the scheduler of a remote fleet until SIGTERM.

    FLEET_REDIS_URL names the fleet's Redis. Of several schedulers one is active; the others wait to replace it.

    Example: fleet beat
    """
    run()
