"""`tools.kind.kube`: reasons why pods and volumes do not come up."""

import json

import pytest

from tests.unit.tools.kind.conftest import Machine
from tools.kind.kind import KindCluster
from tools.kind.kube import claim_trouble, pod_troubles


def pod(**status: object) -> dict[str, object]:
    return {"metadata": {"name": "fleet-x"}, "status": status}


def waiting(reason: str, message: str = "", **more: object) -> list[dict[str, object]]:
    return [{"name": "worker", "state": {"waiting": {"reason": reason, "message": message}}, **more}]


class TestPods:
    def test_one_that_runs_or_only_starts_is_no_trouble(self) -> None:
        running = [{"name": "worker", "state": {"running": {}}}]
        assert not list(pod_troubles(pod(containerStatuses=running)))
        assert not list(pod_troubles(pod(containerStatuses=waiting("ContainerCreating"))))
        assert not list(pod_troubles(pod(conditions=[{"type": "PodScheduled", "status": "True"}])))

    def test_an_image_that_is_not_there(self) -> None:
        troubles = list(
            pod_troubles(pod(containerStatuses=waiting("ImagePullBackOff", 'image "x:1" not found')))
        )
        assert troubles == ['Pod fleet-x, container worker: ImagePullBackOff: image "x:1" not found']

    def test_a_container_that_ends_again_and_again(self) -> None:
        ended = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
        troubles = list(
            pod_troubles(pod(initContainerStatuses=waiting("CrashLoopBackOff", "back-off", lastState=ended)))
        )
        assert troubles == [
            "Pod fleet-x, container worker: CrashLoopBackOff (it ended with 137, OOMKilled): back-off"
        ]

    def test_one_that_finds_no_node(self) -> None:
        conditions = [
            {"type": "PodScheduled", "status": "False", "message": "0/4 nodes: Insufficient memory"}
        ]
        assert list(pod_troubles(pod(conditions=conditions))) == [
            "Pod fleet-x has no node: 0/4 nodes: Insufficient memory"
        ]


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("data", "fast", "PersistentVolumeClaim data is not bound (storage class: fast): no class fast"),
        (
            "other",
            None,
            "PersistentVolumeClaim other is not bound (storage class: the default one): no reason is given",
        ),
    ],
)
def test_a_volume_that_cannot_be_bound(name: str, kind: str | None, expected: str) -> None:
    claim = {"metadata": {"name": name}, "spec": {"storageClassName": kind}, "status": {"phase": "Pending"}}
    events = [
        {"involvedObject": {"kind": "PersistentVolumeClaim", "name": "data"}, "message": "no class fast"}
    ]
    assert claim_trouble(claim, events) == expected


def test_pods_that_may_not_be_made_are_explained_once(this_machine: Machine) -> None:
    event = {
        "reason": "FailedCreate",
        "message": "violates PodSecurity",
        "involvedObject": {"kind": "ReplicaSet", "name": "fleet-beat-1"},
    }
    answer = json.dumps({"items": [event, event]})
    this_machine.put(
        "kubectl",
        answer=f"""case "$*" in *"get events"*) echo '{answer}' ;; *) echo '{{"items": []}}' ;; esac""",
    )
    troubles = KindCluster(this_machine.name).kube.explained("It failed.", "somewhere")
    assert troubles == "It failed.\nReplicaSet fleet-beat-1 cannot create its pods: violates PodSecurity"
    assert all("--namespace=somewhere" in call for call in this_machine.calls("kubectl"))
