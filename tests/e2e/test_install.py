"""The chart on a real cluster: what an installation creates, and that it scales to zero."""

import json

import pytest
import yaml

from tests.support.release import Release
from tests.support.waiting import stays, wait_for

pytestmark = pytest.mark.steady

IDLE = {"pdf": 0, "ocr": 0, "default": 0}


def test_an_installation_is_ready_rests_at_zero_and_works(release: Release) -> None:
    release.install()
    # Each Deployment starts one worker, which KEDA removes after its first poll of the queue.
    wait_for(lambda: release.all_replicas() == IDLE and not release.workers(), "0 workers", seconds=120)
    assert {pod.metadata.labels["app.kubernetes.io/component"] for pod in release.pods()} == {
        "redis",
        "store",
        "beat",
    }
    stays(lambda: release.all_replicas() == IDLE and not release.workers(), "0 workers", seconds=60)
    release.helm("test", "fleet", "--timeout=300s", "--logs")
    assert release.restarts() == {}
    wait_for(lambda: release.all_replicas() == IDLE, "0 workers again", seconds=300)
    # `fleet check` leaves no object in the store, and every document that it opened is settled.
    assert release.store.keys() == []
    assert all(release.ledger.batch(batch).done for batch in release.ledger.batches())


def test_kedas_objects_are_what_its_own_schema_knows(release: Release) -> None:
    """The API server drops fields unknown to the CRD: the stored object must contain all that the chart sent."""
    release.install()
    manifest = release.helm("get", "manifest", "fleet")
    sent = [one for one in yaml.safe_load_all(manifest) if one and one["kind"] == "ScaledObject"]
    assert len(sent) == 3
    for one in sent:
        there = release.kube.run(
            "get",
            "scaledobject",
            one["metadata"]["name"],
            f"--namespace={release.namespace}",
            "--output=json",
        )
        assert within(one["spec"], json.loads(there)["spec"]), one["metadata"]["name"]


def within(small: object, large: object) -> bool:
    """Return whether `large` contains all of `small`."""
    if isinstance(small, dict) and isinstance(large, dict):
        return all(key in large and within(value, large[key]) for key, value in small.items())
    if isinstance(small, list) and isinstance(large, list):
        return len(small) == len(large) and all(map(within, small, large))
    return small == large
