"""The flood: once at install, never at an upgrade, and again on request."""

from typing import Any

from tests.chart.conftest import Render


def command(pod: dict[str, Any]) -> list[str]:
    return list(pod["spec"]["containers"][0]["command"])


def test_an_install_floods(render: Render) -> None:
    pod = render({"producer": {"documents": 2000000, "seed": 9}}).pod_templates()["Job/fleet-flood"]
    assert command(pod) == [
        "fleet",
        "flood",
        "--documents",
        "2000000",
        "--seed",
        "9",
        "--batch",
        "$(BATCH)",
        "--server-timeout",
        "300",
        "--wait",
    ]
    assert pod["spec"]["restartPolicy"] == "Never"


def test_a_second_pod_of_a_job_has_the_same_batch(render: Render) -> None:
    for name in ("Job/fleet-flood", "CronJob/fleet-flood"):
        container = render().pod_templates()[name]["spec"]["containers"][0]
        batch = next(variable for variable in container["env"] if variable["name"] == "BATCH")
        path = batch["valueFrom"]["fieldRef"]["fieldPath"]
        assert path == "metadata.labels['batch.kubernetes.io/controller-uid']"


def test_an_upgrade_makes_no_job_where_none_is(render: Render) -> None:
    upgraded = render(upgrade=True)
    assert not upgraded.of("Job")
    assert upgraded.of("CronJob")


def test_the_job_is_no_hook_so_that_an_install_does_not_wait_for_it(render: Render) -> None:
    job = render().one("Job", "fleet-flood")
    assert "annotations" not in job["metadata"]


def test_more_floods_are_of_the_same_kind_and_never_start_by_themselves(render: Render) -> None:
    cron = render().one("CronJob", "fleet-flood")["spec"]
    assert cron["suspend"] is True
    job = render().one("Job", "fleet-flood")["spec"]
    assert cron["jobTemplate"]["spec"] == job


def test_a_job_ends_and_goes_by_itself(render: Render) -> None:
    job = render().one("Job", "fleet-flood")["spec"]
    assert (job["backoffLimit"], job["activeDeadlineSeconds"], job["ttlSecondsAfterFinished"]) == (
        3,
        7200,
        86400,
    )
    own = {"backoffLimit": 0, "activeDeadlineSeconds": None, "ttlSecondsAfterFinished": 0}
    job = render({"producer": own}).one("Job", "fleet-flood")["spec"]
    assert (job["backoffLimit"], job["ttlSecondsAfterFinished"]) == (0, 0)
    assert "activeDeadlineSeconds" not in job


def test_it_need_not_wait_nor_be(render: Render) -> None:
    assert "--wait" not in command(render({"producer": {"wait": False}}).pod_templates()["Job/fleet-flood"])
    later = render({"producer": {"atInstall": False}})
    assert not later.of("Job")
    assert later.of("CronJob")
    never = render({"producer": {"enabled": False}})
    assert not never.of("Job")
    assert not never.of("CronJob")


def test_its_files_go_where_it_may_write(render: Render) -> None:
    settings = render().one("ConfigMap", "fleet")["data"]
    pod = render().pod_templates()["Job/fleet-flood"]["spec"]
    writable = {mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
    for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME"):
        assert any(settings[name].startswith(path) for path in writable)
