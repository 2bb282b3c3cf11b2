"""Redis is away for five minutes in a flood."""

import pytest

from app.queues import Queue
from tests.support.documents import slow_document
from tests.support.release import Release, is_ready
from tests.support.waiting import stays, wait_for

AWAY_SECONDS = 300


@pytest.mark.long
def test_a_redis_that_is_away_for_minutes_restarts_no_worker(
    release: Release, synthetic: list[bytes]
) -> None:
    release.install()
    batch_id = release.submit(*synthetic * 6, *[slow_document(10_000)] * 300)
    wait_for(lambda: len(release.ready("pdf")) == release.max_replicas("pdf"), "all workers", seconds=300)
    wait_for(lambda: release.ledger.batch(batch_id).settled > 60, "the middle of the flood", seconds=300)
    assert not release.ledger.batch(batch_id).done
    redis = ("statefulset", release.object_name("redis"), f"--namespace={release.namespace}")
    release.kube.run("scale", *redis, "--replicas=0")
    try:
        wait_for(lambda: not release.pods("redis"), "the end of the Redis pod")
        # Its successor starts while there is no Redis.
        release.delete_pod(release.ready("pdf")[0], force=True)
        wait_for(lambda: len(release.workers("pdf")) == release.max_replicas("pdf"), "its successor")
        before = uids(release)
        stays(
            lambda: not release.restarts() and before <= uids(release),
            "the same workers and beat, none restarted",
            seconds=AWAY_SECONDS,
        )
    finally:
        release.kube.run("scale", *redis, "--replicas=1")
    wait_for(lambda: [pod for pod in release.pods("redis") if is_ready(pod)], "Redis", seconds=120)
    counts = release.settled(batch_id, seconds=600)
    assert (counts.total, counts.settled, counts.quarantined) == (900, 900, 0)
    assert counts.errors == {"password_required": 12, "malformed": 12}
    assert counts.duplicates <= 9
    assert release.restarts() == {}
    depth = release.ledger.depths([Queue.PDF])[Queue.PDF]
    assert (depth.waiting, depth.running) == (0, 0)


def uids(release: Release) -> set[str]:
    """Return the workers of `pdf`, and beat."""
    return {pod.metadata.uid for pod in [*release.workers("pdf"), *release.pods("beat")]}
