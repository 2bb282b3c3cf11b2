"""A Redis with less memory than a flood needs."""

import time

from app.errors import ServerFullError
from app.ledger.message import new_id
from app.ledger.models import Submission
from app.queues import Queue
from tests.support.documents import quick_document
from tests.support.release import Release, write_json

DOCUMENTS = 6_000
LONG_NAME = "x" * 2_000
"""A document with so long a name takes more than 2 kB in the ledger: the flood needs more than the whole server has."""
SMALL = (
    "--set=redis.maxMemory=8Mi",
    # The stream of events has its share of the memory too.
    "--set=settings.FLEET_EVENTS_KEPT=1000",
    "--set=settings.FLEET_FLOOD_CHUNK=100",
)


class Waiting:
    """Tries again and again while the server is full, and counts that."""

    def __init__(self) -> None:
        self.refusals = self.documents = 0

    def refused(self, _error: ServerFullError, /) -> None:
        """Pause."""
        self.refusals += 1
        time.sleep(0.5)

    def opened(self, documents: int) -> None:
        """Count documents."""
        self.documents += documents


def test_a_flood_larger_than_redis_drains_by_itself(release: Release) -> None:
    release.install(*SMALL)
    batch_id = new_id()
    ids = [new_id() for _ in range(DOCUMENTS)]
    release.put(batch_id, dict.fromkeys(ids, quick_document()))
    waiting = Waiting()
    begin = time.monotonic()
    release.ledger.open(
        batch_id, Queue.PDF, (Submission(document_id=one, source=LONG_NAME) for one in ids), when_full=waiting
    )
    opened = time.monotonic() - begin
    counts = release.settled(batch_id, seconds=600)
    figures = {"refusals": waiting.refusals, "opened after": opened, "counts": counts}
    write_json(release.folder / "full.json", figures)
    assert waiting.refusals
    assert waiting.documents == DOCUMENTS
    assert (counts.total, counts.succeeded, counts.quarantined) == (DOCUMENTS, DOCUMENTS, 0)
    assert release.restarts() == {}
