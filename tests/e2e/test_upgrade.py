"""A new version in the middle of a flood."""

from tests.support.documents import slow_document
from tests.support.release import Release
from tests.support.waiting import wait_for
from tools.kind.command import output


def test_a_rolling_upgrade_in_a_flood_loses_nothing(release: Release, synthetic: list[bytes]) -> None:
    release.install("--set=producer.documents=50", producer=True)
    job = release.object_name("flood")
    wait_for(lambda: release.job_done(job), "the flood at install", seconds=600)
    uid = release.batch.read_namespaced_job(job, release.namespace).metadata.uid

    # Loaded onto the nodes before the flood, as loading may take longer than the flood.
    name = f"{release.image}-next"
    output("docker", "tag", release.image, name)
    release.cluster.load(name)
    batch_id = release.submit(*synthetic * 3, *[slow_document(10_000)] * 300)
    wait_for(lambda: release.ledger.batch(batch_id).settled > 30, "the middle of the flood", seconds=300)
    old = release.image
    release.image = name
    assert not release.ledger.batch(batch_id).done, "the batch was done before the upgrade"
    release.upgrade("--set=producer.documents=50", producer=True)
    assert {pod.spec.containers[0].image for pod in release.workers()} <= {name}
    counts = release.settled(batch_id)
    assert (counts.total, counts.settled, counts.quarantined) == (600, 600, 0)
    assert counts.errors == {"password_required": 6, "malformed": 6}
    assert release.restarts() == {}

    # The installation's Job is unchanged: an upgrade floods nothing.
    after = release.batch.read_namespaced_job(job, release.namespace)
    assert (after.metadata.uid, after.spec.template.spec.containers[0].image) == (uid, old)
    assert sorted(release.ledger.batch(one).total for one in release.ledger.batches()) == [50, 600]
