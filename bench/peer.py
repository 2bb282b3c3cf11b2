"""An ordinary Celery application for comparison: it sets only the address of its broker."""

import os
import time

from celery import Celery

app = Celery("peer", broker=os.environ["PEER_BROKER_URL"], backend=os.environ["PEER_BROKER_URL"])


@app.task(name="peer.moment")  # type: ignore[untyped-decorator]  # Celery carries no types
def moment() -> float:
    """Return the time of the call, in seconds since the epoch."""
    return time.time()
