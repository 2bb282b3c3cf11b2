"""The main job on a real cluster: 1,000 documents, from no worker to the maximum and back."""

from collections import Counter

import pytest

from app.report.timeline import Sample
from app.storage.layout import result_keys
from tests.support.release import Release, samples, write_json
from tests.support.waiting import wait_for

pytestmark = pytest.mark.steady

DOCUMENTS = 1_000
FAILED = {"password_required": 20, "malformed": 20}


def test_a_flood_grows_the_fleet_over_all_nodes_and_loses_nothing(release: Release) -> None:
    release.install("--set=producer.atInstall=false", producer=True)
    most = release.max_replicas("pdf")
    wait_for(
        lambda: not any("-worker-" in pod.metadata.name for pod in release.every_pod()),
        "0 workers",
        seconds=120,
    )
    release.watch()
    release.flood_by_job("flood-1")
    (batch_id,) = wait_for(release.ledger.batches, "the batch", seconds=300)
    counts = release.settled(batch_id, seconds=600)
    wait_for(lambda: release.job_done("flood-1"), "the end of the producer")
    log = release.job_log("flood-1")

    # Each document settled once; the bad ones failed with their code.
    assert (counts.total, counts.settled, counts.succeeded) == (DOCUMENTS, DOCUMENTS, DOCUMENTS - 40)
    assert (counts.quarantined, counts.errors) == (0, FAILED)
    assert len(set(release.ledger.settled(batch_id))) == len(release.ledger.settled(batch_id)) == DOCUMENTS
    assert batch_id in log
    assert f"settled {DOCUMENTS:,}/{DOCUMENTS:,}" in log

    # The store has the results of each succeeded document.
    stored = set(release.store.keys(batch_id))
    documents = release.documents(batch_id)
    for document in documents:
        wanted = {"text", "thumbnail", "document"} if document.state == "succeeded" else set()
        assert wanted <= set(document.results), document
        keys = result_keys(document.batch, document.document_id)
        assert {keys[kind] for kind in document.results} <= stored
    assert Counter(document.attempts for document in documents) == {1: DOCUMENTS}

    # Back to no worker.
    wait_for(lambda: not any(release.all_replicas().values()), "0 workers", seconds=300)
    wait_for(lambda: not release.workers(), "no pod", seconds=120)
    assert release.restarts() == {}

    recorded = samples(release.recorded())
    # The reconciler runs in beat: no pod is started for it.
    assert max(sample.queues["default"].replicas for sample in recorded) == 0
    write_json(release.folder / "flood.json", {"counts": counts, "peak": most, "samples": len(recorded)})
    assert most_ready(recorded, "pdf") == most
    assert most_ready(recorded, "ocr") >= 1
    together = [len(nodes_with(sample, "pdf")) for sample in recorded]
    assert max(together) == 3, "pods on every node at once"


def most_ready(recorded: list[Sample], queue: str) -> int:
    return max(sample.queues[queue].ready for sample in recorded if queue in sample.queues)


def nodes_with(sample: Sample, queue: str) -> list[str]:
    """Return the nodes on which a queue has ready pods."""
    return [node for node, ready in sample.nodes.items() if ready.get(queue, 0) > 0]
