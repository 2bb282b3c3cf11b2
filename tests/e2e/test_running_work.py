"""A running document keeps its replica however short the queue, and a terminated worker finishes its document."""

from app.queues import Queue
from tests.support.documents import slow_document
from tests.support.release import LONG_DOCUMENTS, Release, samples, turns
from tests.support.waiting import stays, wait_for

EAGER = (
    "--set=workerDefaults.behavior.scaleDown.stabilizationWindowSeconds=0",
    "--set=workerDefaults.behavior.scaleDown.policies[0].type=Percent",
    "--set=workerDefaults.behavior.scaleDown.policies[0].value=100",
    "--set=workerDefaults.behavior.scaleDown.policies[0].periodSeconds=1",
)
"""Settings for an HPA that removes a pod as soon as its metric allows."""


def test_running_work_alone_keeps_its_replicas(release: Release) -> None:
    release.install(
        *EAGER, *LONG_DOCUMENTS, "--set=workers.pdf.backlogPerReplica=1", "--set=workers.pdf.maxReplicas=3"
    )
    release.watch()
    batch_id = release.submit(*[slow_document(250_000)] * 3)
    wait_for(
        lambda: (depth := release.ledger.depths([Queue.PDF])[Queue.PDF]).waiting == 0 and depth.running == 3,
        "all of it running",
        seconds=300,
    )
    # No message waits: the list's length is 0, for three syncs of the HPA.
    while not release.ledger.batch(batch_id).settled:
        stays(lambda: release.replicas("pdf") == 3, "3 replicas", seconds=2)
    counts = release.settled(batch_id)
    assert (counts.succeeded, counts.duplicates, counts.errors) == (3, 0, {})
    assert [document.attempts for document in release.documents(batch_id)] == [1, 1, 1]
    replicas = [sample.queues["pdf"].replicas for sample in samples(release.recorded())]
    assert max(replicas) == 3
    assert turns(replicas) <= 1, replicas


def test_a_fleet_that_shrinks_starts_no_document_twice(release: Release) -> None:
    release.install(
        *LONG_DOCUMENTS, "--set=workers.pdf.backlogPerReplica=1", "--set=workers.pdf.maxReplicas=5"
    )
    batch_id = release.submit(*[slow_document(180_000)] * 5)
    wait_for(lambda: release.ledger.depths([Queue.PDF])[Queue.PDF].running == 5, "five at work", seconds=300)
    before = {pod.metadata.name for pod in release.workers("pdf")}
    assert len(before) == 5
    # The new maximum is below the number of busy pods: the HPA removes three, each with a document in progress.
    release.kube.run(
        *("patch", "scaledobject", release.object_name("worker-pdf"), f"--namespace={release.namespace}"),
        *("--type=merge", '--patch={"spec":{"maxReplicaCount":2}}'),
    )
    wait_for(lambda: len(release.workers("pdf")) == 2, "two that are not ending", seconds=120)
    assert not release.ledger.batch(batch_id).done, "the batch was done before the fleet shrank"
    counts = release.settled(batch_id)
    assert (counts.succeeded, counts.duplicates, counts.errors) == (5, 0, {})
    assert [document.attempts for document in release.documents(batch_id)] == [1] * 5
