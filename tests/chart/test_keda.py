"""The ScaledObject of each queue."""

import pytest

from app.config import Settings
from app.policy.policy import MAX_BACKLOG_PER_REPLICA, Fallback, Policy, backlog_per_replica
from app.queues import Queue, inflight_key
from tests.chart.conftest import Render, Rendered, scaled


@pytest.mark.parametrize(
    ("drain", "each"),
    [
        (60, 0.5),
        (60, 1.5),
        (15, 0.15),
        (0.3, 0.1),
        (60, 0.7),
        (60, 61),
        (60, 0.001),
        (999.9, 1),
        (1000, 1),
        (7, 3),
        (1e6, 0.3),
        (0.1, 0.3),
        (1.1, 0.1),
    ],
)
def test_the_backlog_is_computed_as_the_program_does(render: Render, drain: float, each: float) -> None:
    worker = {
        "targetDrainSeconds": drain,
        "secondsPerDocument": each,
    }
    formula = scaled(render({"workers": {"pdf": worker}}), "pdf")["advanced"]["scalingModifiers"]["formula"]
    backlog = backlog_per_replica(drain, each)
    assert formula == f"float(max([inflight, (waiting + inflight) / {backlog}]))"


@pytest.mark.parametrize("backlog", [1, 17, MAX_BACKLOG_PER_REPLICA])
def test_the_backlog_can_be_set_outright(render: Render, backlog: int) -> None:
    spec = scaled(render({"workers": {"pdf": {"backlogPerReplica": backlog}}}), "pdf")
    assert f"/ {backlog}]" in spec["advanced"]["scalingModifiers"]["formula"]


def test_a_backlog_for_all_can_be_taken_back_for_one(render: Render) -> None:
    values = {"workerDefaults": {"backlogPerReplica": 7}, "workers": {"pdf": {"backlogPerReplica": None}}}
    rendered = render(values)
    assert "/ 7]" in scaled(rendered, "ocr")["advanced"]["scalingModifiers"]["formula"]
    assert "/ 120]" in scaled(rendered, "pdf")["advanced"]["scalingModifiers"]["formula"]


def test_the_defaults_are_the_policy_of_a_cluster(render: Render) -> None:
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


def test_waiting_and_running_work_are_measured(render: Render) -> None:
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


def test_another_prefix_is_measured_too(render: Render) -> None:
    rendered = render({"settings": {"FLEET_KEY_PREFIX": "papers:"}})
    measured = {trigger["metadata"]["listName"] for trigger in scaled(rendered, "ocr")["triggers"]}
    assert measured == {"ocr", inflight_key(Queue.OCR, "papers:")}


def test_what_keda_asks_of_a_scaledobject(rendering: Rendered) -> None:
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
        # An integer, or KEDA ignores the fallback; and 0 replicas would stand for an empty queue.
        assert modifiers["target"] == "1"
        assert modifiers["metricType"] == "AverageValue"
        # Without float(), KEDA would add it to its copy.
        assert modifiers["formula"].startswith("float(")
        assert spec["fallback"]["replicas"] >= 1
        for trigger in spec["triggers"]:
            assert all(isinstance(value, str) for value in trigger["metadata"].values())
            reference = trigger.get("authenticationRef", {}).get("name")
            assert reference is None or reference in rendering.of("TriggerAuthentication")


def test_another_redis_is_measured_where_it_is(render: Render) -> None:
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


def test_a_redis_that_asks_for_no_password_needs_no_authentication(render: Render) -> None:
    external = {"existingSecret": "my-redis", "keda": {"address": "r:6379"}}
    rendered = render({"redis": {"enabled": False, "external": external}})
    assert not rendered.of("TriggerAuthentication")
    assert "authenticationRef" not in scaled(rendered, "pdf")["triggers"][0]
