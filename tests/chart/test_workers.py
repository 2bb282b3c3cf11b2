"""The map of workers, and what scales them."""

from typing import Any

import pytest

from app.config import Settings
from app.queues import ROUTES, Queue, TaskName, inflight_key
from app.scaling.policy import MAX_BACKLOG_PER_REPLICA, Fallback, Policy, backlog_per_replica

KINDS = ("Deployment", "ScaledObject", "PodDisruptionBudget")


def scaled(rendered: Any, worker: str) -> dict[str, Any]:
    return rendered.one("ScaledObject", f"fleet-worker-{worker}")["spec"]


def test_the_workers_are_those_of_the_program(own_values: dict[str, Any]) -> None:
    workers = own_values["workers"]
    assert set(workers) == {queue.value for queue in Queue}
    assert {
        TaskName(task): Queue(name) for name, worker in workers.items() for task in worker["tasks"]
    } == ROUTES


def test_each_worker_has_its_objects(render: Any) -> None:
    for kind in KINDS:
        assert {name for name in render().of(kind) if "-worker-" in name} == {
            f"fleet-worker-{queue}" for queue in Queue
        }


def test_a_new_queue_is_a_few_lines(render: Any) -> None:
    rendered = render({"workers": {"invoices": {"tasks": ["invoices.read"], "secondsPerDocument": 2}}})
    for kind in KINDS:
        labels = rendered.one(kind, "fleet-worker-invoices")["metadata"]["labels"]
        assert labels["pdf-fleet/queue"] == "invoices"
    pod = rendered.pod_templates()["Deployment/fleet-worker-invoices"]
    assert pod["spec"]["containers"][0]["command"] == ["fleet", "worker", "invoices"]
    assert pod["metadata"]["labels"]["pdf-fleet/queue"] == "invoices"
    assert scaled(rendered, "invoices")["maxReplicaCount"] == 10
    assert rendered.one("Deployment", "fleet-worker-pdf") == without_checksums(
        render().one("Deployment", "fleet-worker-pdf"), rendered.one("Deployment", "fleet-worker-pdf")
    )


def without_checksums(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """`one` with the checksums of `other`: passwords are made anew at each rendering."""
    template = one["spec"]["template"]
    annotations = other["spec"]["template"]["metadata"]["annotations"]
    metadata = {**template["metadata"], "annotations": annotations}
    return {**one, "spec": {**one["spec"], "template": {**template, "metadata": metadata}}}


def test_a_queue_may_be_called_otherwise_than_its_worker(render: Any) -> None:
    rendered = render({"workers": {"fast": {"queue": "Fast.1", "tasks": ["a.b"], "secondsPerDocument": 1}}})
    pod = rendered.pod_templates()["Deployment/fleet-worker-fast"]
    assert pod["spec"]["containers"][0]["command"] == ["fleet", "worker", "Fast.1"]
    assert [trigger["metadata"]["listName"] for trigger in scaled(rendered, "fast")["triggers"]] == [
        "fleet:inflight:Fast.1",
        "Fast.1",
    ]


@pytest.mark.parametrize("away", [{"enabled": False}, None])
def test_a_worker_can_be_taken_away(render: Any, away: Any) -> None:
    rendered = render({"workers": {"ocr": away}})
    assert not [document for document in rendered if document["metadata"]["name"].endswith("worker-ocr")]
    assert rendered.one("Deployment", "fleet-worker-pdf")


def test_nothing_and_no_are_values_too(render: Any) -> None:
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
    # And what a worker does not say is the default's.
    other = scaled(rendered, "default")
    assert (other["minReplicaCount"], other["fallback"]["failureThreshold"]) == (2, 5)
    assert spec["fallback"]["replicas"] == 1


def test_a_zero_of_replicas_is_kept_where_they_are_fixed(render: Any) -> None:
    fixed = {"scaling": {"mode": "none"}, "workers": {"pdf": {"replicas": 0}}}
    assert render(fixed).one("Deployment", "fleet-worker-pdf")["spec"]["replicas"] == 0


class TestKeda:
    @pytest.mark.parametrize(
        ("drain", "each", "concurrency"),
        [
            (60, 0.5, 1),
            (60, 1.5, 1),
            (15, 0.15, 1),
            (0.3, 0.1, 1),
            (60, 0.7, 4),
            (60, 61, 1),
            (60, 0.001, 1),
            (999.9, 1, 1),
            (1000, 1, 1),
            (7, 3, 2),
            (1e6, 0.3, 8),
            (0.1, 0.3, 3),
            (1.1, 0.1, 1),
        ],
    )
    def test_the_backlog_is_computed_as_the_program_does(
        self, render: Any, drain: float, each: float, concurrency: int
    ) -> None:
        worker = {
            "targetDrainSeconds": drain,
            "secondsPerDocument": each,
            "concurrency": concurrency,
            "pool": "threads",
        }
        formula = scaled(render({"workers": {"pdf": worker}}), "pdf")["advanced"]["scalingModifiers"][
            "formula"
        ]
        backlog = backlog_per_replica(drain, each, concurrency)
        assert formula == f"float(max([inflight / {concurrency}, (waiting + inflight) / {backlog}]))"

    @pytest.mark.parametrize("backlog", [1, 17, MAX_BACKLOG_PER_REPLICA])
    def test_the_backlog_can_be_set_outright(self, render: Any, backlog: int) -> None:
        spec = scaled(render({"workers": {"pdf": {"backlogPerReplica": backlog}}}), "pdf")
        assert f"/ {backlog}]" in spec["advanced"]["scalingModifiers"]["formula"]

    def test_a_backlog_for_all_can_be_taken_back_for_one(self, render: Any) -> None:
        values = {"workerDefaults": {"backlogPerReplica": 7}, "workers": {"pdf": {"backlogPerReplica": None}}}
        rendered = render(values)
        assert "/ 7]" in scaled(rendered, "ocr")["advanced"]["scalingModifiers"]["formula"]
        assert "/ 120]" in scaled(rendered, "pdf")["advanced"]["scalingModifiers"]["formula"]

    def test_the_defaults_are_the_policy_of_a_cluster(self, render: Any) -> None:
        policy = Policy.cluster(10, backlog_per_replica=backlog_per_replica(60, 0.5))
        spec = scaled(render(), "pdf")
        assert spec["pollingInterval"] == policy.polling_seconds
        assert spec["cooldownPeriod"] == policy.cooldown_seconds > Settings().grace_seconds
        assert spec["minReplicaCount"] == policy.min_replicas
        assert spec["maxReplicaCount"] == policy.max_replicas
        assert float(spec["advanced"]["scalingModifiers"]["activationTarget"]) == policy.activation_target
        fallback = Fallback()
        assert spec["fallback"] == {
            "failureThreshold": fallback.failure_threshold,
            "replicas": fallback.replicas,
            "behavior": fallback.behavior,
        }
        behavior = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
        for name, rules in (("scaleUp", policy.behavior.scale_up), ("scaleDown", policy.behavior.scale_down)):
            assert behavior[name]["stabilizationWindowSeconds"] == rules.stabilization_window_seconds
            assert behavior[name]["policies"] == [
                {"type": rule.type.value, "value": rule.value, "periodSeconds": rule.period_seconds}
                for rule in rules.policies
            ]

    def test_waiting_and_running_work_are_measured(self, render: Any) -> None:
        for queue in Queue:
            triggers = {trigger["name"]: trigger for trigger in scaled(render(), queue)["triggers"]}
            assert set(triggers) == {"waiting", "inflight"}
            assert triggers["waiting"]["metadata"]["listName"] == queue
            assert triggers["inflight"]["metadata"]["listName"] == inflight_key(queue, Settings().key_prefix)
            for trigger in triggers.values():
                assert trigger["type"] == "redis"
                assert trigger["metricType"] == "AverageValue"
                assert trigger["metadata"]["address"] == "fleet-redis.papers.svc:6379"
                assert trigger["authenticationRef"] == {"name": "fleet-redis"}

    def test_another_prefix_is_measured_too(self, render: Any) -> None:
        rendered = render({"settings": {"FLEET_KEY_PREFIX": "papers:"}})
        measured = {trigger["metadata"]["listName"] for trigger in scaled(rendered, "ocr")["triggers"]}
        assert measured == {"ocr", inflight_key(Queue.OCR, "papers:")}

    def test_what_keda_asks_of_a_scaledobject(self, rendering: Any) -> None:
        for name, document in rendering.of("ScaledObject").items():
            spec = document["spec"]
            assert document["apiVersion"] == "keda.sh/v1alpha1"
            assert spec["scaleTargetRef"] == {"name": name}
            assert "replicas" not in rendering.one("Deployment", name)["spec"]
            assert set(spec) == {
                "scaleTargetRef",
                "pollingInterval",
                "cooldownPeriod",
                "minReplicaCount",
                "maxReplicaCount",
                "fallback",
                "advanced",
                "triggers",
            }
            assert 0 <= spec["minReplicaCount"] <= spec["maxReplicaCount"]
            modifiers = spec["advanced"]["scalingModifiers"]
            # An integer, or KEDA ignores the fallback; and 0 replicas would be an empty queue to it.
            assert modifiers["target"] == "1"
            assert modifiers["metricType"] == "AverageValue"
            # KEDA would write the float() into its copy itself.
            assert modifiers["formula"].startswith("float(")
            assert spec["fallback"]["replicas"] >= 1
            for trigger in spec["triggers"]:
                assert all(isinstance(value, str) for value in trigger["metadata"].values())
                reference = trigger.get("authenticationRef", {}).get("name")
                assert reference is None or reference in rendering.of("TriggerAuthentication")

    def test_another_redis_is_measured_where_it_is(self, render: Any) -> None:
        external = {
            "existingSecret": "my-redis",
            "tls": {"enabled": True, "caConfigMap": "my-ca"},
            "keda": {"address": "r:6380", "databaseIndex": 2, "existingSecret": "k", "usernameKey": "u"},
        }
        rendered = render({"redis": {"enabled": False, "external": external}})
        assert scaled(rendered, "pdf")["triggers"][1]["metadata"] == {
            "address": "r:6380",
            "databaseIndex": "2",
            "enableTLS": "true",
            "listName": "pdf",
            "listLength": "1",
        }
        assert rendered.one("TriggerAuthentication", "fleet-redis")["spec"] == {
            "secretTargetRef": [
                {"parameter": "username", "name": "k", "key": "u"},
                {"parameter": "password", "name": "k", "key": "password"},
            ],
            "configMapTargetRef": [{"parameter": "ca", "name": "my-ca", "key": "ca.crt"}],
        }

    def test_a_redis_that_asks_for_no_password_needs_no_authentication(self, render: Any) -> None:
        external = {"existingSecret": "my-redis", "keda": {"address": "r:6379"}}
        rendered = render({"redis": {"enabled": False, "external": external}})
        assert not rendered.of("TriggerAuthentication")
        assert "authenticationRef" not in scaled(rendered, "pdf")["triggers"][0]


class TestOtherModes:
    def test_by_cpu(self, render: Any) -> None:
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

    def test_fixed(self, render: Any) -> None:
        rendered = render({"scaling": {"mode": "none"}, "workers": {"pdf": {"replicas": 3}}})
        assert not [d for d in rendered if d["kind"] in {"ScaledObject", "HorizontalPodAutoscaler"}]
        assert rendered.one("Deployment", "fleet-worker-pdf")["spec"]["replicas"] == 3
        assert rendered.one("Deployment", "fleet-worker-ocr")["spec"]["replicas"] == 1

    def test_a_worker_has_no_mode_of_its_own(self, refusal: Any) -> None:
        assert "scaling" in refusal({"workers": {"pdf": {"scaling": {"mode": "none"}}}})


def test_a_drain_leaves_some_workers_and_is_never_held_up(render: Any) -> None:
    budget = render().one("PodDisruptionBudget", "fleet-worker-pdf")["spec"]
    assert budget["maxUnavailable"] == "50%"
    assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
    assert budget["selector"]["matchLabels"]["pdf-fleet/worker"] == "pdf"
