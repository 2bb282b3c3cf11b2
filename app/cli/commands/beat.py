"""`fleet beat`."""


def beat() -> None:
    """Send what is due by the clock to a fleet whose Redis is elsewhere, until SIGTERM; a second one waits.

    Example: FLEET_REDIS_URL=redis://:secret@redis:6379 fleet beat
    """
    from app.worker.beat import run

    run()
