"""k8s/: the cluster, and the chart's values for it."""

import pytest
import yaml

from app.config import Settings, check_order, load
from app.policy.policy import backlog_per_replica
from app.queues import Queue
from app.sandbox.limits import limits_of
from tools.kind.kind import DEFAULT, NODES, ROOT

VALUES = yaml.safe_load((ROOT / "k8s" / "values-kind.yaml").read_text())
CHART = yaml.safe_load((ROOT / "helm" / "pdf-fleet" / "values.yaml").read_text())


def test_the_cluster_is_one_control_plane_and_three_workers() -> None:
    config = yaml.safe_load((ROOT / "k8s" / "kind.yaml").read_text())
    assert [node["role"] for node in config["nodes"]] == ["control-plane", "worker", "worker", "worker"]
    assert config["name"] == DEFAULT
    assert len(config["nodes"]) == NODES


def test_the_autoscaler_may_use_the_charts_tolerance() -> None:
    config = yaml.safe_load((ROOT / "k8s" / "kind.yaml").read_text())
    assert config["featureGates"] == {"HPAConfigurableTolerance": True}


def settings(worker: str) -> Settings:
    limits = CHART["timeLimits"] | VALUES["timeLimits"]
    for values in (CHART, VALUES):
        limits |= values["workers"].get(worker, {}).get("timeLimits", {})
    return load(
        {
            "FLEET_SOFT_LIMIT_SECONDS": str(limits["softSeconds"]),
            "FLEET_GRACE_SECONDS": str(limits["graceSeconds"]),
        }
    )


@pytest.mark.parametrize("worker", CHART["workers"])
def test_short_times_are_in_the_order_that_loses_nothing(worker: str) -> None:
    check_order(settings(worker))
    assert settings(worker).grace_seconds == VALUES["timeLimits"]["graceSeconds"]


def test_a_page_of_ocr_ends_well_within_its_time() -> None:
    """1.5 s of a whole core, at the share that a worker has, and three times over on a busy host."""
    share = int(VALUES["workers"]["ocr"]["resources"]["limits"]["cpu"].removesuffix("m")) / 1000
    assert 3 * 1.5 / share < limits_of(settings("ocr")).wall_seconds


def test_every_worker_has_a_limit_and_three_nodes_have_equal_shares() -> None:
    assert VALUES["workerDefaults"]["resources"]["limits"]["cpu"].endswith("m")
    assert VALUES["workers"]["pdf"]["maxReplicas"] % (NODES - 1) == 0


def test_a_flood_of_a_thousand_asks_for_every_replica() -> None:
    worker = VALUES["workers"]["pdf"]
    backlog = backlog_per_replica(worker["targetDrainSeconds"], worker["secondsPerDocument"])
    assert 1000 / backlog > worker["maxReplicas"]


def test_queues_are_the_charts_and_the_applications() -> None:
    assert set(VALUES["workers"]) <= set(CHART["workers"])
    assert set(CHART["workers"]) == {queue.value for queue in Queue}


def test_dev_keeps_exactly_one_worker_a_queue() -> None:
    dev = yaml.safe_load((ROOT / "k8s" / "values-dev.yaml").read_text())
    for name in CHART["workers"]:
        worker = {**VALUES["workers"].get(name, {}), **dev["workerDefaults"], **dev["workers"].get(name, {})}
        # A worker's own value in values-kind.yaml counts more than a default of values-dev.yaml.
        own = (
            dev["workers"]
            .get(name, {})
            .get("maxReplicas", VALUES["workers"].get(name, {}).get("maxReplicas", 1))
        )
        assert (worker["minReplicas"], own) == (1, 1)
