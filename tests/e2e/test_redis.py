"""The Redis pod dies in a flood."""

import pytest

from tests.support.release import Release, is_ready
from tests.support.waiting import wait_for

pytestmark = pytest.mark.steady


def test_a_killed_redis_comes_back_with_its_data(release: Release, synthetic: list[bytes]) -> None:
    release.install()
    batch_id = release.submit(*synthetic * 6)
    wait_for(lambda: release.ledger.batch(batch_id).settled > 60, "the middle of the flood", seconds=300)
    (pod,) = release.pods("redis")
    assert not release.ledger.batch(batch_id).done
    release.delete_pod(pod, force=True)
    wait_for(
        lambda: [
            one for one in release.pods("redis") if one.metadata.uid != pod.metadata.uid and is_ready(one)
        ],
        "another Redis pod",
        seconds=300,
    )
    assert release.ledger.batch(batch_id).total == 600
    counts = release.settled(batch_id)
    assert (counts.settled, counts.quarantined) == (600, 0)
    assert counts.errors == {"password_required": 12, "malformed": 12}
    # The workers reconnected without a restart.
    assert not {name for name in release.restarts() if "worker" in name}
