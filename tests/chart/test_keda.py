"""The ScaledObject of each queue."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.config import Settings
from app.ledger.keys import Keys
from app.policy.policy import MAX_BACKLOG_PER_REPLICA, Fallback, Policy, backlog_per_replica
from app.queues import DOCUMENT_TASKS, Queue
from tests.chart.conftest import Render, Rendered, scaled

KEYS = Keys(Settings().key_prefix)


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
    assert formula == f"float(max([running, open / {backlog}]))"


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
    assert spec["cooldownPeriod"] == policy.cooldown_seconds
    assert spec["minReplicaCount"] == policy.min_replicas
    assert "idleReplicaCount" not in spec
    assert policy.wake_replicas is None
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
        assert behavior[name].get("tolerance") == (
            None if rules.tolerance is None else f"{rules.tolerance:g}"
        )


@pytest.mark.parametrize(
    ("given", "written"), [(0, "0"), ("0", "0"), (0.05, "0.05"), ("0.25", "0.25"), (None, None)]
)
def test_a_tolerance_is_a_number_a_text_or_nothing(render: Render, given: Any, written: str | None) -> None:
    behavior = {"scaleUp": {"tolerance": given}, "scaleDown": {"tolerance": given}}
    spec = scaled(render({"workers": {"pdf": {"behavior": behavior}}}), "pdf")
    rules = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    for direction in ("scaleUp", "scaleDown"):
        assert rules[direction].get("tolerance") == written
        assert ("tolerance" in rules[direction]) == (written is not None)


def test_kedas_own_schema_knows_the_tolerance(render: Render) -> None:
    """Else the API server would drop it from the ScaledObject before KEDA sees it."""
    manifest = os.environ.get("KEDA_MANIFEST")
    if not manifest:
        pytest.skip("KEDA_MANIFEST names no manifest of KEDA")
    with Path(manifest).open() as text:
        found = next(
            one
            for one in yaml.load_all(text, yaml.CSafeLoader)
            if one and one["metadata"]["name"] == "scaledobjects.keda.sh"
        )
    schema = found["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    behavior = scaled(render(), "pdf")["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    for step in ("spec", "advanced", "horizontalPodAutoscalerConfig", "behavior"):
        schema = schema["properties"][step]
    for direction, rules in behavior.items():
        assert rules.keys() <= schema["properties"][direction]["properties"].keys()


def test_a_queue_can_wake_several_replicas(render: Render) -> None:
    rendered = render({"workers": {"pdf": {"wakeReplicas": 4}}})
    woken, other = scaled(rendered, "pdf"), scaled(rendered, "ocr")
    assert (woken["idleReplicaCount"], woken["minReplicaCount"]) == (0, 4)
    assert other["minReplicaCount"] == 0
    assert "idleReplicaCount" not in other


def test_open_and_running_work_are_measured(render: Render) -> None:
    for queue in Queue:
        spec = scaled(render(), queue)
        triggers = {trigger["name"]: trigger for trigger in spec["triggers"]}
        measured = {name: trigger["metadata"]["listName"] for name, trigger in triggers.items()}
        formula = spec["advanced"]["scalingModifiers"]["formula"]
        if queue in DOCUMENT_TASKS:
            assert measured == {"open": KEYS.open(queue), "running": KEYS.running(queue)}
            assert formula.startswith("float(max([running, open / ")
        else:
            assert measured == {"waiting": queue, "running": KEYS.running(queue)}
            assert formula.startswith("float(max([running, (waiting + running) / ")
        for trigger in triggers.values():
            assert trigger["type"] == "redis"
            assert trigger["metricType"] == "AverageValue"
            assert trigger["metadata"]["address"] == "fleet-redis.papers.svc:6379"
            assert trigger["authenticationRef"] == {"name": "fleet-redis"}


def test_another_prefix_is_measured_too(render: Render) -> None:
    rendered = render({"settings": {"FLEET_KEY_PREFIX": "papers:"}})
    measured = {trigger["metadata"]["listName"] for trigger in scaled(rendered, "ocr")["triggers"]}
    assert measured == {Keys("papers:").open(Queue.OCR), Keys("papers:").running(Queue.OCR)}


def test_what_keda_asks_of_a_scaledobject(rendering: Rendered) -> None:
    for name, document in rendering.of("ScaledObject").items():
        spec = document["spec"]
        assert document["apiVersion"] == "keda.sh/v1alpha1"
        assert spec["scaleTargetRef"] == {"name": name}
        assert "replicas" not in rendering.one("Deployment", name)["spec"]
        assert set(spec) - {"idleReplicaCount"} == {
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
        "listName": "fleet:running:pdf",
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
