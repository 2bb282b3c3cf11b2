"""Every pod meets the Pod Security Standard `restricted`, and a little more."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.chart.conftest import Render, Rendered

VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
SELINUX = {"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
SYSCTLS = {
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
}


def offences(spec: dict[str, Any]) -> Iterator[str]:
    """Return the parts of a pod's spec that `baseline` or `restricted` would refuse."""
    pod = spec.get("securityContext", {})
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(key):
            yield key
    for volume in spec.get("volumes", []):
        if not set(volume) - {"name"} <= VOLUMES:
            yield f"volume {volume}"
    for sysctl in pod.get("sysctls", []):
        if sysctl["name"] not in SYSCTLS:
            yield f"sysctl {sysctl['name']}"
    for container in [
        *spec.get("initContainers", []),
        *spec["containers"],
        *spec.get("ephemeralContainers", []),
    ]:
        for offence in of_container(container, pod):
            yield f"{container['name']}: {offence}"


def of_container(container: dict[str, Any], pod: dict[str, Any]) -> Iterator[str]:
    own = container.get("securityContext", {})
    both = {**pod, **own}
    capabilities = own.get("capabilities", {})
    selinux = both.get("seLinuxOptions", {})
    probes = [container.get(probe, {}) for probe in ("startupProbe", "livenessProbe", "readinessProbe")]
    confined = {"RuntimeDefault", "Localhost"}
    rules = {
        "privileged": not own.get("privileged"),
        "allowPrivilegeEscalation": own.get("allowPrivilegeEscalation") is False,
        "capabilities.drop": "ALL" in capabilities.get("drop", []),
        "capabilities.add": set(capabilities.get("add", [])) <= {"NET_BIND_SERVICE"},
        "runAsNonRoot": both.get("runAsNonRoot") is True,
        "runAsUser": both.get("runAsUser") != 0,
        "seccompProfile": both.get("seccompProfile", {}).get("type") in confined,
        "appArmorProfile": both.get("appArmorProfile", {"type": "RuntimeDefault"})["type"] in confined,
        "seLinuxOptions": selinux.get("type", "") in SELINUX and not selinux.keys() & {"user", "role"},
        "procMount": own.get("procMount", "Default") == "Default",
        "hostProcess": not both.get("windowsOptions", {}).get("hostProcess"),
        "hostPort": not any(port.get("hostPort") for port in container.get("ports", [])),
        "a probe's host": not any(
            how.get("host") for probe in probes for how in probe.values() if isinstance(how, dict)
        ),
    }
    yield from (rule for rule, kept in rules.items() if not kept)


def test_every_pod_is_restricted(rendering: Rendered) -> None:
    found = {name: list(offences(pod["spec"])) for name, pod in rendering.pod_templates().items()}
    assert not {name: offence for name, offence in found.items() if offence}


@pytest.mark.parametrize(
    ("change", "offence"),
    [
        ({"hostNetwork": True}, "hostNetwork"),
        ({"securityContext": {}}, "runAsNonRoot"),
        ({"volumes": [{"name": "x", "hostPath": {"path": "/"}}]}, "volume"),
        ({"containers": [{"name": "x"}]}, "capabilities.drop"),
        ({"containers": [{"name": "x", "ports": [{"containerPort": 1, "hostPort": 1}]}]}, "hostPort"),
        ({"containers": [{"name": "x", "securityContext": {"privileged": True}}]}, "privileged"),
    ],
)
def test_a_pod_that_is_not_is_noticed(render: Render, change: dict[str, Any], offence: str) -> None:
    spec = render().pod_templates()["Deployment/fleet-beat"]["spec"]
    assert [found for found in offences({**spec, **change}) if offence in found]


def test_every_root_is_read_only_and_every_container_says_what_it_takes(rendering: Rendered) -> None:
    for name, pod in rendering.pod_templates().items():
        for container in [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True, name
            for kind in ("requests", "limits"):
                assert set(container["resources"][kind]) >= {"cpu", "memory"}, name


def test_no_pod_has_a_token_nor_variables_of_strange_services(rendering: Rendered) -> None:
    for name, pod in rendering.pod_templates().items():
        assert pod["spec"]["automountServiceAccountToken"] is False, name
        # A Service `fleet-redis` would become FLEET_REDIS_PORT, and no role starts with an unknown FLEET_ name.
        assert pod["spec"]["enableServiceLinks"] is False, name
    for account in rendering.of("ServiceAccount").values():
        assert account["automountServiceAccountToken"] is False
