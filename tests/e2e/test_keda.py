"""No worker is removed while KEDA cannot measure or is absent."""

import base64
import json

import pytest

from app.queues import Queue
from tests.support.documents import slow_document
from tests.support.release import LONG_DOCUMENTS, Release
from tests.support.waiting import stays, wait_for

WORK = ("--set=workers.pdf.backlogPerReplica=1", "--set=workers.pdf.maxReplicas=3")


def at_work(release: Release) -> str:
    batch_id = release.submit(*[slow_document(250_000)] * 3)
    wait_for(lambda: len(release.ready("pdf")) == 3, "three workers", seconds=300)
    assert release.ledger.depths([Queue.PDF])[Queue.PDF].running
    return batch_id


def test_wrong_credentials_keep_the_replicas(release: Release) -> None:
    release.install(*WORK, *LONG_DOCUMENTS)
    batch_id = at_work(release)
    wrong = {"data": {"keda-password": base64.b64encode(b"wrong").decode()}}
    release.core.patch_namespaced_secret(release.object_name("redis"), release.namespace, wrong)
    # KEDA keeps its connections until the ScaledObject changes.
    name = release.object_name("worker-pdf")
    where = f"--namespace={release.namespace}"
    release.kube.run(
        "patch", "scaledobject", name, where, "--type=merge", '--patch={"spec":{"pollingInterval":6}}'
    )

    def failing() -> bool:
        text = release.kube.run("get", "scaledobject", name, where, "--output=json")
        conditions = json.loads(text)["status"].get("conditions", [])
        found = {one["type"]: one["status"] for one in conditions}
        return found.get("Ready") == "False" or found.get("Fallback") == "True"

    wait_for(failing, "KEDA's failure", seconds=300)
    stays(lambda: release.replicas("pdf") == 3, "3 replicas", seconds=45)
    assert release.settled(batch_id).succeeded == 3


@pytest.mark.alone
def test_a_keda_that_is_away_keeps_the_replicas(release: Release) -> None:
    release.install(*WORK, *LONG_DOCUMENTS)
    batch_id = at_work(release)
    keda = ("deployment/keda-operator", "deployment/keda-metrics-apiserver", "--namespace=keda")
    release.kube.run("scale", *keda, "--replicas=0")
    try:
        stays(lambda: release.replicas("pdf") == 3, "3 replicas", seconds=60)
        assert release.settled(batch_id).succeeded == 3
    finally:
        release.kube.run("scale", *keda, "--replicas=1")
        for one in keda[:2]:
            release.kube.run("rollout", "status", one, keda[2], "--timeout=180s")
