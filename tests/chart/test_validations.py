"""Values that the chart refuses; its message has the numbers and the remedy."""

from typing import Any

import pytest

from app.config import Settings, check_order
from app.errors import SettingsError
from tests.chart.conftest import Live, Refusal, Render

MISSPELT = [
    {"worker": {}},
    {"workers": {"pdf": {"maxReplica": 3}}},
    {"workers": {"pdf": {"fallback": {"replica": 3}}}},
    {"workers": {"Pdf": {"tasks": ["a.b"], "secondsPerDocument": 1}}},
    {"workerDefaults": {"resources": {"limit": {}}}},
    {"workerDefaults": {"behavior": {"scaleUp": {"policies": [{"type": "Pods", "val": 1}]}}}},
    {"settings": {"FLEET_OCR_DPY": 150}},
    {"settings": {"FLEET_GRACE_SECONDS": 50}},
    {"timeLimits": {"grace": 50}},
    {"timeLimits": {"visibilityTimeoutSeconds": 900}},
    {"workers": {"pdf": {"timeLimits": {"grace": 50}}}},
    {"redis": {"external": {"keda": {"adress": "r:6379"}}}},
    {"store": {"persistence": {"sise": "1Gi"}}},
    {"producer": {"document": 5}},
    {"networkPolicy": {"enable": True}},
    {"podDefaults": {"extraEnv": [{"name": "A", "valu": "b"}]}},
]
OUT_OF_BOUNDS = [
    ({"workers": {"pdf": {"maxReplicas": -1}}}, "/workers/pdf/maxReplicas"),
    ({"workers": {"pdf": {"minReplicas": -1}}}, "/workers/pdf/minReplicas"),
    ({"workers": {"pdf": {"secondsPerDocument": 0}}}, "/workers/pdf/secondsPerDocument"),
    ({"workerDefaults": {"targetDrainSeconds": -5}}, "/workerDefaults/targetDrainSeconds"),
    ({"workerDefaults": {"maxReplicas": 1.5}}, "/workerDefaults/maxReplicas"),
    ({"workerDefaults": {"backlogPerReplica": 0}}, "/workerDefaults/backlogPerReplica"),
    ({"timeLimits": {"softSeconds": -1}}, "/timeLimits/softSeconds"),
    ({"workers": {"pdf": {"wakeReplicas": 0}}}, "/workers/pdf/wakeReplicas"),
    (
        {"workerDefaults": {"behavior": {"scaleUp": {"tolerance": 1}}}},
        "/workerDefaults/behavior/scaleUp/tolerance",
    ),
    ({"settings": {"FLEET_WINDOW": 0}}, "/settings/FLEET_WINDOW"),
    ({"producer": {"documents": 0}}, "/producer/documents"),
    ({"settings": {"FLEET_OCR_DPI": 9000}}, "/settings/FLEET_OCR_DPI"),
    ({"settings": {"FLEET_LOG_LEVEL": "LOUD"}}, "/settings/FLEET_LOG_LEVEL"),
    ({"scaling": {"mode": "cpu"}}, "/scaling/mode"),
    ({"image": {"pullPolicy": "Sometimes"}}, "/image/pullPolicy"),
    ({"redis": {"appendFsync": "never"}}, "/redis/appendFsync"),
    ({"redis": {"maxMemory": "lots"}}, "/redis/maxMemory"),
    ({"store": {"bucket": "No_Bucket"}}, "/store/bucket"),
    ({"redis": {"external": {"keda": {"address": "r"}}}}, "/redis/external/keda/address"),
]
CONTRADICTIONS = [
    (
        {"timeLimits": {"softSeconds": 120}},
        "workers.pdf.timeLimits.softSeconds (120 s) must be less than graceSeconds - 15 (120 s)",
    ),
    (
        {"workers": {"ocr": {"timeLimits": {"graceSeconds": 490}}}},
        "workers.ocr.timeLimits.softSeconds (480 s) must be less than graceSeconds - 15 (475 s)",
    ),
    (
        {"workers": {"pdf": {"wakeReplicas": 3, "minReplicas": 1}}},
        "workers.pdf.wakeReplicas (3) wakes a queue from 0 replicas, and minReplicas (1) never lets it sleep",
    ),
    (
        {"workers": {"pdf": {"wakeReplicas": 11}}},
        "workers.pdf.wakeReplicas (11) must be at most maxReplicas (10)",
    ),
    (
        {"podDefaults": {"tmpSizeLimit": "2Gi"}},
        "workers.pdf.resources.limits.ephemeral-storage (1152Mi) must be more than tmpSizeLimit (2Gi)",
    ),
    ({"workers": {"new": {"secondsPerDocument": 1}}}, "workers.new has no task"),
    ({"workers": {"new": {"tasks": [], "secondsPerDocument": 1}}}, "workers.new has no task"),
    (
        {"workers": {"new": {"tasks": ["a.b"]}}},
        "set workers.new.secondsPerDocument (how long one document takes), or workers.new.backlogPerReplica",
    ),
    (
        {"workers": {"new": {"queue": "pdf", "tasks": ["a.b"], "secondsPerDocument": 1}}},
        'workers.pdf and workers.new both consume the queue "pdf"',
    ),
    (
        {"workers": {"pdf": {"fallback": {"replicas": 0}}}},
        "workers.pdf.fallback.replicas (0) must be at least 1",
    ),
    (
        {"workers": {"pdf": {"backlogPerReplica": 1001}}},
        "workers.pdf.backlogPerReplica (1001) must be at most 1000",
    ),
    (
        {"workers": {"pdf": {"minReplicas": 5, "maxReplicas": 3}}},
        "workers.pdf.minReplicas (5) must be at most maxReplicas (3)",
    ),
    (
        {"workers": {"pdf": {"resources": {"limits": {"memory": "1Gi"}}}}},
        (
            "workers.pdf.resources.limits.memory (1Gi) is less than one hostile document may take: "
            "FLEET_SANDBOX_MEMORY_BYTES (1024 MiB) and 128 MiB for the worker. Raise it to 1152Mi"
        ),
    ),
    (
        {"beat": {"extraEnv": [{"name": "FLEET_OCR_DPI", "value": "150"}]}},
        "beat.extraEnv sets FLEET_OCR_DPI",
    ),
    (
        {"workers": {"pdf": {"extraEnv": [{"name": "FLEET_OCR_DPI", "value": "150"}]}}},
        "workers.pdf.extraEnv sets FLEET_OCR_DPI",
    ),
    (
        {"redis": {"maxMemory": "512Mi"}},
        "redis.maxMemory (512Mi) must be less than redis.resources.limits.memory (512Mi)",
    ),
    (
        {"redis": {"enabled": False, "external": {"keda": {"address": "r:1"}}}},
        "redis.external.existingSecret names no Secret",
    ),
    (
        {"redis": {"enabled": False, "external": {"existingSecret": "r"}}},
        "redis.external.keda.address is empty",
    ),
    (
        {
            "redis": {
                "enabled": False,
                "external": {
                    "existingSecret": "r",
                    "keda": {"address": "r:1"},
                    "tls": {"caSecret": "a", "caConfigMap": "b"},
                },
            }
        },
        "names both a caSecret and a caConfigMap",
    ),
    (
        {"scaling": {"mode": "hpa-cpu"}, "workers": {"pdf": {"resources": {"requests": {"cpu": None}}}}},
        "workers.pdf.resources.requests.cpu is not set",
    ),
]


@pytest.mark.parametrize("values", MISSPELT, ids=str)
def test_a_misspelt_key_is_named(refusal: Refusal, values: dict[str, Any]) -> None:
    said = refusal(values)
    key: Any = values
    while isinstance(key, dict | list) and key:
        name = list(key)[-1] if isinstance(key, dict) else ""
        key = key[-1] if isinstance(key, list) else key[name]
        if name and f"'{name}' not allowed" in said:
            return
    pytest.fail(said)


@pytest.mark.parametrize(("values", "where"), OUT_OF_BOUNDS, ids=str)
def test_a_value_that_cannot_be_is_shown_with_its_place(
    refusal: Refusal, values: dict[str, Any], where: str
) -> None:
    assert where in refusal(values)


@pytest.mark.parametrize(("values", "sentence"), CONTRADICTIONS, ids=lambda given: str(given)[:60])
def test_a_contradiction_is_refused_with_its_numbers(
    refusal: Refusal, values: dict[str, Any], sentence: str
) -> None:
    assert sentence in refusal(values)


def test_all_contradictions_are_told_at_once(refusal: Refusal) -> None:
    said = refusal({"timeLimits": {"softSeconds": 700}, "workers": {"pdf": {"fallback": {"replicas": 0}}}})
    assert "workers.pdf.timeLimits.softSeconds (700 s)" in said
    assert "workers.default.timeLimits.softSeconds (700 s)" in said
    assert "fallback.replicas (0)" in said


@pytest.mark.parametrize(
    "limits",
    [(60, 135), (1, 17), (2, 17), (1, 16), (1, 15), (50, 60), (30, 55), (2, 600)],
)
def test_limits_are_refused_where_the_program_refuses_them(
    render: Render, refusal: Refusal, limits: tuple[int, int]
) -> None:
    soft, grace = limits
    values = {"timeLimits": {"softSeconds": soft, "graceSeconds": grace}}
    settings = Settings(soft_limit_seconds=soft, grace_seconds=grace)
    try:
        check_order(settings)
    except SettingsError:
        assert "must be less than" in refusal(values)
    else:
        assert render(values)


def test_a_cooldown_may_be_shorter_than_the_grace(render: Render) -> None:
    """Running work is in the metric: a fleet that still works does not cool down."""
    assert render({"workers": {"pdf": {"cooldownSeconds": 1, "timeLimits": {"graceSeconds": 500}}}})


def test_what_only_keda_cannot_do_is_no_matter_without_it(render: Render) -> None:
    worker = {"fallback": {"replicas": 0}, "cooldownSeconds": 1, "backlogPerReplica": 5000}
    assert render({"scaling": {"mode": "none"}, "workers": {"pdf": worker}})


def test_less_memory_will_do_where_a_document_may_take_less(render: Render) -> None:
    values = {
        "settings": {"FLEET_SANDBOX_MEMORY_BYTES": 268435456},
        "workers": {"pdf": {"resources": {"limits": {"memory": "384Mi"}}}},
    }
    assert render(values)


@pytest.mark.parametrize("memory", ["1536Mi", "2Gi", "2G", "1500M", 2000000000, "1.5Gi", "1610612736"])
def test_memory_is_understood_however_it_is_written(render: Render, memory: Any) -> None:
    assert render({"workers": {"pdf": {"resources": {"limits": {"memory": memory}}}}})


class TestInACluster:
    """Refusals that depend on the cluster, with its kinds but without objects; e2e tests cover the rest."""

    def test_without_keda_nothing_is_made(self, live: Live) -> None:
        with pytest.raises(Exception, match="KEDA is not in this cluster") as refused:
            live({})
        assert "kubectl apply --server-side -f https://github.com/kedacore/keda/" in str(refused.value)

    def test_with_keda_it_is(self, live: Live) -> None:
        assert live({}, "keda.sh/v1alpha1/ScaledObject").of("ScaledObject")

    @pytest.mark.parametrize("mode", ["hpa-cpu", "none"])
    def test_other_modes_need_no_keda(self, live: Live, mode: str) -> None:
        assert live({"scaling": {"mode": mode}}).of("Deployment")

    @pytest.mark.parametrize(
        ("values", "sentence"),
        [
            (
                {"redis": {"existingSecret": "mine"}},
                "with the keys url, keda-username, keda-password, users.acl",
            ),
            ({"store": {"existingSecret": "mine"}}, "with the keys access-key, secret-key"),
            (
                {"redis": {"enabled": False, "external": {"existingSecret": "mine", "urlKey": "address"}}},
                "with the keys address",
            ),
        ],
    )
    def test_a_secret_that_is_not_there_is_asked_for(
        self, live: Live, values: dict[str, Any], sentence: str
    ) -> None:
        with pytest.raises(Exception, match='The Secret "mine" is not in the namespace "papers"') as refused:
            live({"scaling": {"mode": "none"}, **values})
        assert sentence in str(refused.value)
