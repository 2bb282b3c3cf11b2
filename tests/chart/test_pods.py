"""The fleet's own pods: commands, environment, probes and placement."""

from typing import Any

import pytest

from app.config import check_order, load
from app.sandbox.limits import limits_of
from tests.chart.conftest import Render, Rendered

FLEET = {"worker", "beat", "producer", "test"}


def own_pods(rendered: Rendered) -> dict[str, Any]:
    """Return the pods that run the fleet's image."""
    return {
        name: pod
        for name, pod in rendered.pod_templates().items()
        if pod["metadata"]["labels"]["app.kubernetes.io/component"] in FLEET
    }


def environment(rendered: Rendered, pod: dict[str, Any]) -> dict[str, str]:
    """Return the variables of a pod's main container, with a placeholder for a Secret's value."""
    container = pod["spec"]["containers"][0]
    found = {}
    for source in container["envFrom"]:
        found.update(rendered.one("ConfigMap", source["configMapRef"]["name"])["data"])
    for variable in container["env"]:
        found[variable["name"]] = variable.get("value", "from a Secret")
    return found


def test_every_pod_would_start_with_its_settings(rendering: Rendered) -> None:
    for name, pod in own_pods(rendering).items():
        given = {key: value for key, value in environment(rendering, pod).items() if key.startswith("FLEET_")}
        assert load(given).store_url.startswith("s3://"), name


def test_settings_arrive_as_they_were_written(render: Render) -> None:
    settings = {
        "FLEET_MAX_DOCUMENT_BYTES": 104857600,
        "FLEET_RETRY_BACKOFF_SECONDS": 0.25,
        "FLEET_OCR_DPI": 150,
    }
    limits = {"softSeconds": 20, "graceSeconds": 1000000}
    rendered = render({"settings": settings, "workers": {"ocr": {"timeLimits": limits}}})
    pod = rendered.one("Deployment", "fleet-worker-ocr")["spec"]["template"]
    loaded = load({k: v for k, v in environment(rendered, pod).items() if k.startswith("FLEET_")})
    assert loaded.max_document_bytes == 104857600
    assert loaded.retry_backoff_seconds == 0.25
    assert loaded.ocr_dpi == 150
    assert loaded.soft_limit_seconds == 20
    assert loaded.grace_seconds == 1000000


NODE_AUTOSCALER_SECONDS = 600
"""How long cluster-autoscaler waits for a pod by default (--max-graceful-termination-sec)."""


def test_every_worker_ends_before_a_node_autoscaler_loses_patience(render: Render) -> None:
    for name, pod in own_pods(render()).items():
        if not name.startswith("Deployment/fleet-worker-"):
            continue
        given = environment(render(), pod)
        config = load({key: value for key, value in given.items() if key.startswith("FLEET_")})
        check_order(config)
        assert pod["spec"]["terminationGracePeriodSeconds"] <= NODE_AUTOSCALER_SECONDS - 30, name
        # The document at work gets the whole of its time.
        assert limits_of(config).wall_seconds == config.sandbox_wall_seconds, name


def test_a_worker_may_have_time_limits_of_its_own(render: Render) -> None:
    values = {
        "timeLimits": {"softSeconds": 10, "graceSeconds": 40},
        "workers": {"pdf": {"timeLimits": {"graceSeconds": 50}}},
    }
    rendered = render(values)
    for worker, limits in (("pdf", ("10", "50")), ("default", ("10", "40")), ("ocr", ("480", "555"))):
        pod = rendered.one("Deployment", f"fleet-worker-{worker}")["spec"]["template"]
        given = environment(rendered, pod)
        assert (given["FLEET_SOFT_LIMIT_SECONDS"], given["FLEET_GRACE_SECONDS"]) == limits
        assert str(pod["spec"]["terminationGracePeriodSeconds"]) == limits[1]
    beat = rendered.one("Deployment", "fleet-beat")["spec"]["template"]
    assert "FLEET_GRACE_SECONDS" not in environment(rendered, beat)


def test_a_worker_has_the_time_that_it_counts_on(rendering: Rendered) -> None:
    for name, pod in own_pods(rendering).items():
        if pod["metadata"]["labels"]["app.kubernetes.io/component"] == "worker":
            grace = environment(rendering, pod)["FLEET_GRACE_SECONDS"]
            assert pod["spec"]["terminationGracePeriodSeconds"] == int(grace), name


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("Deployment/fleet-worker-pdf", ["python", "-m", "app.worker", "pdf"]),
        ("Deployment/fleet-beat", ["fleet", "beat"]),
        ("Pod/fleet-test", ["fleet", "check", "--timeout", "120"]),
    ],
)
def test_each_role_runs_its_own_command(render: Render, name: str, command: list[str]) -> None:
    assert render().pod_templates()[name]["spec"]["containers"][0]["command"] == command


def test_workers_and_beat_are_watched_by_their_heartbeat(render: Render) -> None:
    heartbeat = {"maxAgeSeconds": 45, "periodSeconds": 7, "startupSeconds": 31}
    rendered = render({"workerDefaults": {"heartbeat": heartbeat}})
    for name in ("fleet-worker-pdf", "fleet-beat"):
        pod = rendered.one("Deployment", name)["spec"]["template"]
        container = pod["spec"]["containers"][0]
        written = environment(rendered, pod)["FLEET_HEARTBEAT_FILE"]
        probe = f"find {written} -newermt '-45 seconds' | grep -q ."
        assert container["livenessProbe"]["exec"]["command"] == ["sh", "-c", probe]
        assert container["startupProbe"]["exec"]["command"] == ["sh", "-c", probe]
        assert container["livenessProbe"]["periodSeconds"] == 7
        # A process that hangs does not use its grace.
        assert container["livenessProbe"]["terminationGracePeriodSeconds"] == 30
        timeout = container["startupProbe"]["periodSeconds"] * container["startupProbe"]["failureThreshold"]
        assert 31 <= timeout <= 33
        assert written.startswith("/tmp/")


def test_pods_that_end_by_themselves_are_not_watched(render: Render) -> None:
    for name in ("Job/fleet-flood", "CronJob/fleet-flood", "Pod/fleet-test"):
        pod = render().pod_templates()[name]
        assert not [key for key in pod["spec"]["containers"][0] if key.endswith("Probe")]
        assert "FLEET_HEARTBEAT_FILE" not in environment(render(), pod)


def test_only_the_fleets_own_pods_know_the_stores_key(render: Render) -> None:
    knowing = {
        pod["metadata"]["labels"]["app.kubernetes.io/component"]
        for pod in own_pods(render()).values()
        if "AWS_SECRET_ACCESS_KEY" in environment(render(), pod)
    }
    assert knowing == {"worker", "beat", "producer", "test"}


class TestChecksums:
    def test_a_changed_setting_replaces_the_fleets_pods_and_not_redis(self, render: Render) -> None:
        before, after = render(), render({"settings": {"FLEET_OCR_DPI": 150}})
        assert self.of(before, "Deployment/fleet-worker-pdf", "settings") != self.of(
            after, "Deployment/fleet-worker-pdf", "settings"
        )
        assert self.of(before, "StatefulSet/fleet-redis", "config") == self.of(
            after, "StatefulSet/fleet-redis", "config"
        )

    def test_all_pods_of_one_rendering_agree_about_the_passwords(self, render: Render) -> None:
        seen = {pod["metadata"]["annotations"]["checksum/redis"] for pod in own_pods(render()).values()}
        assert len(seen) == 1

    def test_a_new_queue_gives_redis_new_users(self, render: Render) -> None:
        more = render({"redis": {"maxMemory": "300Mi"}})
        assert self.of(render(), "StatefulSet/fleet-redis", "config") != self.of(
            more, "StatefulSet/fleet-redis", "config"
        )

    def of(self, rendered: Rendered, pod: str, what: str) -> str:
        return str(rendered.pod_templates()[pod]["metadata"]["annotations"][f"checksum/{what}"])


EXTRAS: dict[str, Any] = {
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "spot", "operator": "Exists"}],
    "affinity": {"podAntiAffinity": {}},
    "priorityClassName": "batch",
    "topologySpreadConstraints": [
        {"maxSkew": 3, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {}}
    ],
}


@pytest.mark.parametrize("key", EXTRAS)
@pytest.mark.parametrize(
    "where", ["podDefaults", "workerDefaults", "beat", "producer", "test", "redis", "store"]
)
def test_a_pod_goes_where_its_role_says(render: Render, where: str, key: str) -> None:
    component = {"workerDefaults": "worker"}.get(where, where)
    for name, pod in render({where: {key: EXTRAS[key]}}).pod_templates().items():
        concerned = (
            where == "podDefaults" or pod["metadata"]["labels"]["app.kubernetes.io/component"] == component
        )
        found = pod["spec"].get(key)
        if key == "tolerations":
            found = [one for one in found or [] if not one["key"].startswith("node.kubernetes.io/")]
        assert (found == EXTRAS[key]) == concerned, name


@pytest.mark.parametrize("seconds", [30, 0, None])
def test_workers_and_beat_leave_a_lost_node_soon(render: Render, seconds: int | None) -> None:
    values = (
        {role: {"lostNodeSeconds": seconds} for role in ("workerDefaults", "beat")} if seconds != 30 else {}
    )
    for name, pod in render(values).pod_templates().items():
        tolerated = {
            one["key"].partition("/")[2]: (one["tolerationSeconds"], one["effect"], one["operator"])
            for one in pod["spec"].get("tolerations", [])
        }
        concerned = pod["metadata"]["labels"]["app.kubernetes.io/component"] in {"worker", "beat"}
        each = (seconds, "NoExecute", "Exists")
        both = {"not-ready": each, "unreachable": each}
        assert tolerated == (both if concerned and seconds is not None else {}), name


@pytest.mark.parametrize(
    "where", ["podDefaults", "workerDefaults", "beat", "producer", "test", "redis", "store"]
)
def test_a_pod_carries_what_its_role_adds(render: Render, where: str) -> None:
    added: dict[str, Any] = {
        "podAnnotations": {"example.org/a": "b"},
        "podLabels": {"example.org/c": "d"},
        "extraEnv": [{"name": "TZ", "value": "UTC"}],
        "extraVolumes": [{"name": "more", "emptyDir": {}}],
        "extraVolumeMounts": [{"name": "more", "mountPath": "/more"}],
    }
    component = {"workerDefaults": "worker"}.get(where, where)
    for name, pod in render({where: added}).pod_templates().items():
        concerned = (
            where == "podDefaults" or pod["metadata"]["labels"]["app.kubernetes.io/component"] == component
        )
        container = pod["spec"]["containers"][0]
        assert ("example.org/a" in pod["metadata"]["annotations"]) == concerned, name
        assert ("example.org/c" in pod["metadata"]["labels"]) == concerned, name
        assert (added["extraEnv"][0] in container.get("env", [])) == concerned, name
        assert (added["extraVolumes"][0] in pod["spec"]["volumes"]) == concerned, name
        assert (added["extraVolumeMounts"][0] in container["volumeMounts"]) == concerned, name


EVICTABLE = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes"


@pytest.mark.parametrize("source", [False, True])
def test_a_node_may_go_although_a_pod_has_volumes_of_its_own(render: Render, source: bool) -> None:
    for name, pod in own_pods(render({"podDefaults": {"sourceVolume": source}})).items():
        local = [volume["name"] for volume in pod["spec"]["volumes"] if "emptyDir" in volume]
        assert pod["metadata"]["annotations"][EVICTABLE].split(",") == local, name


def test_ones_own_word_about_volumes_counts(render: Render) -> None:
    pods = render({"podDefaults": {"podAnnotations": {EVICTABLE: "tmp,more"}}}).pod_templates()
    assert pods["Deployment/fleet-beat"]["metadata"]["annotations"][EVICTABLE] == "tmp,more"


def test_every_pod_says_how_much_of_a_nodes_disk_it_takes(render: Render) -> None:
    for name, pod in render().pod_templates().items():
        for container in pod["spec"]["containers"]:
            resources = container["resources"]
            assert "ephemeral-storage" in resources["requests"], name
            # Redis and the store may have their data there.
            own = pod["metadata"]["labels"]["app.kubernetes.io/component"] in FLEET
            assert ("ephemeral-storage" in resources["limits"]) == own, name


def test_registries_are_asked_with_their_secrets(render: Render) -> None:
    for pod in render({"imagePullSecrets": [{"name": "pull"}]}).pod_templates().values():
        assert pod["spec"]["imagePullSecrets"] == [{"name": "pull"}]


def test_workers_spread_over_nodes_unless_told_otherwise(render: Render) -> None:
    constraint = render().one("Deployment", "fleet-worker-pdf")["spec"]["template"]["spec"][
        "topologySpreadConstraints"
    ][0]
    assert constraint["maxSkew"] == 1
    assert constraint["topologyKey"] == "kubernetes.io/hostname"
    assert constraint["whenUnsatisfiable"] == "ScheduleAnyway"
    assert constraint["matchLabelKeys"] == ["pod-template-hash"]
    assert constraint["labelSelector"]["matchLabels"]["pdf-fleet/worker"] == "pdf"
    none = render({"workers": {"pdf": {"topologySpreadConstraints": []}}})
    assert "topologySpreadConstraints" not in none.pod_templates()["Deployment/fleet-worker-pdf"]["spec"]


def test_the_source_can_be_run_from_a_volume_that_can_be_written(render: Render) -> None:
    pod = render({"podDefaults": {"sourceVolume": True}}).pod_templates()["Deployment/fleet-worker-pdf"][
        "spec"
    ]
    assert {"name": "source", "mountPath": "/srv/fleet"} in pod["containers"][0]["volumeMounts"]
    assert pod["initContainers"][0]["image"] == pod["containers"][0]["image"]
    assert pod["containers"][0]["command"] == ["fleet", "worker", "--reload", "pdf"]
    usual = render().pod_templates()["Deployment/fleet-worker-pdf"]["spec"]
    assert [mount["name"] for mount in usual["containers"][0]["volumeMounts"]] == ["tmp"]


def test_a_limit_can_be_taken_away(render: Render) -> None:
    values = {"workers": {"pdf": {"resources": {"limits": {"cpu": None, "memory": "2Gi"}}}}}
    container = render(values).pod_templates()["Deployment/fleet-worker-pdf"]["spec"]["containers"][0]
    assert container["resources"]["limits"] == {"memory": "2Gi", "ephemeral-storage": "1152Mi"}
    assert container["resources"]["requests"]["cpu"] == "250m"
