"""A new version in the middle of a flood."""

from app.queues import Queue
from tests.support.documents import slow_document
from tests.support.release import LONG_DOCUMENTS, Release, samples, write_json
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


def test_an_upgrade_over_long_documents_starts_no_more_pods_than_the_work_needs(release: Release) -> None:
    documents, each, need = 16, 4, 4
    values = (
        *LONG_DOCUMENTS,
        *(f"--set=workers.pdf.backlogPerReplica={each}", "--set=workers.pdf.maxReplicas=30"),
    )
    release.install(*values)
    release.watch()
    batch_id = release.submit(*[slow_document(120_000)] * documents)
    wait_for(
        lambda: len(release.ready("pdf")) == release.ledger.depths([Queue.PDF])[Queue.PDF].running == need,
        "all workers at work",
        seconds=300,
    )
    old = {pod.metadata.uid for pod in release.workers("pdf")}
    release.upgrade(*values, "--set=workers.pdf.podLabels.version=next")
    assert not old & {pod.metadata.uid for pod in release.workers("pdf")}
    # The old pods finish their documents, which count for nothing, while the new ones work on others.
    ledger = release.ledger
    assert ledger.client.hlen(ledger.keys.ending(Queue.PDF))
    counts = release.settled(batch_id, seconds=900)
    assert (counts.succeeded, counts.duplicates, counts.errors) == (documents, 0, {})
    assert [document.starts for document in release.documents(batch_id)] == [1] * documents
    seen = [sample.queues["pdf"] for sample in samples(release.recorded())]
    write_json(release.folder / "upgrade.json", [(one.replicas, one.ready, one.running) for one in seen])
    # While the rollout adds a pod before it stops another, that pod works too.
    assert need <= max(one.replicas for one in seen) <= need + 1
