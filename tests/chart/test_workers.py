"""The map of workers, and their scaling without KEDA."""

from typing import Any

import pytest

from app.queues import DOCUMENT_TASKS, ROUTES, Queue, TaskName
from tests.chart.conftest import Refusal, Render, scaled

KINDS = ("Deployment", "ScaledObject", "PodDisruptionBudget")


def test_the_workers_are_those_of_the_program(own_values: dict[str, Any]) -> None:
    workers = own_values["workers"]
    assert set(workers) == {queue.value for queue in Queue}
    assert {
        TaskName(task): Queue(name) for name, worker in workers.items() for task in worker["tasks"]
    } == ROUTES


def test_the_queues_of_documents_are_those_of_the_program(own_values: dict[str, Any]) -> None:
    assert {name for name, worker in own_values["workers"].items() if worker.get("documents")} == {
        queue.value for queue in DOCUMENT_TASKS
    }


def test_each_worker_has_its_objects(render: Render) -> None:
    for kind in KINDS:
        assert {name for name in render().of(kind) if "-worker-" in name} == {
            f"fleet-worker-{queue}" for queue in Queue
        }


def test_a_new_queue_is_a_few_lines(render: Render) -> None:
    rendered = render({"workers": {"invoices": {"tasks": ["invoices.read"], "secondsPerDocument": 2}}})
    for kind in KINDS:
        labels = rendered.one(kind, "fleet-worker-invoices")["metadata"]["labels"]
        assert labels["pdf-fleet/queue"] == "invoices"
    pod = rendered.pod_templates()["Deployment/fleet-worker-invoices"]
    assert pod["spec"]["containers"][0]["command"] == ["python", "-m", "app.worker", "invoices"]
    assert pod["metadata"]["labels"]["pdf-fleet/queue"] == "invoices"
    assert scaled(rendered, "invoices")["maxReplicaCount"] == 10
    assert rendered.one("Deployment", "fleet-worker-pdf") == without_checksums(
        render().one("Deployment", "fleet-worker-pdf"), rendered.one("Deployment", "fleet-worker-pdf")
    )


def without_checksums(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Return `one` with the checksums of `other`, as each rendering makes new passwords."""
    template = one["spec"]["template"]
    annotations = other["spec"]["template"]["metadata"]["annotations"]
    metadata = {**template["metadata"], "annotations": annotations}
    return {**one, "spec": {**one["spec"], "template": {**template, "metadata": metadata}}}


def test_a_queue_may_be_called_otherwise_than_its_worker(render: Render) -> None:
    rendered = render({"workers": {"fast": {"queue": "Fast.1", "tasks": ["a.b"], "secondsPerDocument": 1}}})
    pod = rendered.pod_templates()["Deployment/fleet-worker-fast"]
    assert pod["spec"]["containers"][0]["command"] == ["python", "-m", "app.worker", "Fast.1"]
    assert [trigger["metadata"]["listName"] for trigger in scaled(rendered, "fast")["triggers"]] == [
        "fleet:running:Fast.1",
        "Fast.1",
    ]


@pytest.mark.parametrize("away", [{"enabled": False}, None])
def test_a_worker_can_be_taken_away(render: Render, away: Any) -> None:
    rendered = render({"workers": {"ocr": away}})
    assert not [document for document in rendered if document["metadata"]["name"].endswith("worker-ocr")]
    assert rendered.one("Deployment", "fleet-worker-pdf")


def test_nothing_and_no_are_values_too(render: Render) -> None:
    defaults = {
        "minReplicas": 2,
        "activationTarget": 3,
        "fallback": {"failureThreshold": 5},
        "podDisruptionBudget": {"enabled": True, "maxUnavailable": 4},
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": 99}},
    }
    own = {
        "minReplicas": 0,
        "activationTarget": 0,
        "fallback": {"failureThreshold": 0},
        "podDisruptionBudget": {"maxUnavailable": 0},
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}},
        "sourceVolume": False,
    }
    gone = {"podDisruptionBudget": {"enabled": False}}
    rendered = render(
        {
            "podDefaults": {"sourceVolume": True},
            "workerDefaults": defaults,
            "workers": {"pdf": own, "ocr": gone},
        }
    )
    spec = scaled(rendered, "pdf")
    assert spec["minReplicaCount"] == 0
    assert spec["advanced"]["scalingModifiers"]["activationTarget"] == "0"
    assert spec["fallback"]["failureThreshold"] == 0
    down = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]
    assert down["stabilizationWindowSeconds"] == 0
    assert rendered.one("PodDisruptionBudget", "fleet-worker-pdf")["spec"]["maxUnavailable"] == 0
    assert "initContainers" not in rendered.pod_templates()["Deployment/fleet-worker-pdf"]["spec"]
    assert "fleet-worker-ocr" not in rendered.of("PodDisruptionBudget")
    # Other fields are the default's.
    other = scaled(rendered, "default")
    assert (other["minReplicaCount"], other["fallback"]["failureThreshold"]) == (2, 5)
    assert spec["fallback"]["replicas"] == 1


def test_a_zero_of_replicas_is_kept_where_they_are_fixed(render: Render) -> None:
    fixed = {"scaling": {"mode": "none"}, "workers": {"pdf": {"replicas": 0}}}
    assert render(fixed).one("Deployment", "fleet-worker-pdf")["spec"]["replicas"] == 0


class TestOtherModes:
    def test_by_cpu(self, render: Render) -> None:
        values = {
            "scaling": {"mode": "hpa-cpu"},
            "workers": {"pdf": {"targetCPUPercent": 55, "maxReplicas": 3}},
        }
        rendered = render(values)
        assert not rendered.of("ScaledObject")
        assert not rendered.of("TriggerAuthentication")
        autoscaler = rendered.one("HorizontalPodAutoscaler", "fleet-worker-pdf")["spec"]
        assert autoscaler["scaleTargetRef"]["name"] == "fleet-worker-pdf"
        assert (autoscaler["minReplicas"], autoscaler["maxReplicas"]) == (1, 3)
        assert autoscaler["metrics"][0]["resource"]["target"] == {
            "type": "Utilization",
            "averageUtilization": 55,
        }
        assert "replicas" not in rendered.one("Deployment", "fleet-worker-pdf")["spec"]
        # The use of CPU is never steady.
        assert not [rules for rules in autoscaler["behavior"].values() if "tolerance" in rules]

    def test_fixed(self, render: Render) -> None:
        rendered = render({"scaling": {"mode": "none"}, "workers": {"pdf": {"replicas": 3}}})
        assert not [d for d in rendered if d["kind"] in {"ScaledObject", "HorizontalPodAutoscaler"}]
        assert rendered.one("Deployment", "fleet-worker-pdf")["spec"]["replicas"] == 3
        assert rendered.one("Deployment", "fleet-worker-ocr")["spec"]["replicas"] == 1

    def test_a_worker_has_no_mode_of_its_own(self, refusal: Refusal) -> None:
        assert "scaling" in refusal({"workers": {"pdf": {"scaling": {"mode": "none"}}}})


def test_a_drain_leaves_some_workers_and_is_never_held_up(render: Render) -> None:
    budget = render().one("PodDisruptionBudget", "fleet-worker-pdf")["spec"]
    assert budget["maxUnavailable"] == "50%"
    assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
    assert budget["selector"]["matchLabels"]["pdf-fleet/worker"] == "pdf"
