"""An ordinary Celery application, to compare with: nothing set but where the broker is."""

import os
import time

from celery import Celery

app = Celery("peer", broker=os.environ["PEER_BROKER_URL"], backend=os.environ["PEER_BROKER_URL"])


@app.task(name="peer.moment")  # type: ignore[untyped-decorator]  # Celery carries no types
def moment() -> float:
    """Return when this was run: seconds since the epoch."""
    return time.time()
