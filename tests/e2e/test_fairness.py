"""A small batch behind a large flood."""

from statistics import median

from app.ledger.message import new_id
from app.ledger.models import Submission
from app.queues import Queue
from tests.support.documents import slow_document
from tests.support.release import Release, write_json
from tests.support.waiting import wait_for

DOCUMENT = slow_document(3_000)
"""Some 0.3 s of a pod's share of a core: with less, a pod that has rested does it in a burst, at no steady pace."""
FLOOD = 100_000
REACHED = 2_000
"""The first documents of the flood, which the test may see at work; only they have an original in the store."""
BATCH, REPEATS = 10, 5


def test_a_small_batch_is_not_stuck_behind_a_flood(release: Release) -> None:
    most = 9  # the maximum in k8s/values-kind.yaml: the fleet is scaled already
    release.install(f"--set=workers.pdf.minReplicas={most}")
    assert release.max_replicas("pdf") == most
    wait_for(lambda: len(release.ready("pdf")) == most, "the workers")
    alone = median(small_batch(release) for _ in range(REPEATS))

    flood = new_id()
    ids = [new_id() for _ in range(FLOOD)]
    release.put(flood, dict.fromkeys(ids[:REACHED], DOCUMENT))
    release.ledger.open(flood, Queue.PDF, (Submission(document_id=one, source="x.pdf") for one in ids))
    wait_for(lambda: release.ledger.batch(flood).settled > 100, "the flood at work")
    behind = median(small_batch(release) for _ in range(REPEATS))
    counts = release.ledger.batch(flood)
    write_json(
        release.folder / "fairness.json", {"alone": alone, "behind": behind, "flood settled": counts.settled}
    )
    assert counts.total == FLOOD
    assert counts.settled < REACHED, "the flood ran out of documents with an original"
    assert behind <= 3 * alone, (behind, alone)


def small_batch(release: Release) -> float:
    """Send a batch; return the seconds from its opening until its last document is settled."""
    batch_id = release.submit(*[DOCUMENT] * BATCH)
    assert release.settled(batch_id).succeeded == BATCH
    found = release.ledger.documents(release.ledger.settled(batch_id))
    documents = [one for one in found if one is not None]
    return max(one.finished or 0.0 for one in documents) - min(one.opened for one in documents)
