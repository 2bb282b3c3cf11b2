"""Connections between pods that all NetworkPolicies together allow."""

from typing import Any

import pytest

from tests.chart.conftest import Render, Rendered

ROLES = ("worker", "beat", "producer", "test", "redis", "store")
PORTS = {"redis": 6379, "store": 7070}
ALLOWED = {
    ("worker", "redis"),
    ("worker", "store"),
    ("beat", "redis"),
    ("beat", "store"),
    ("producer", "redis"),
    ("producer", "store"),
    ("test", "redis"),
    ("test", "store"),
}
KEDA = {"kubernetes.io/metadata.name": "keda"}
HERE = {"kubernetes.io/metadata.name": "papers"}
DNS = {"kubernetes.io/metadata.name": "kube-system"}


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    if not selector.get("matchLabels", {}).items() <= labels.items():
        return False
    for rule in selector.get("matchExpressions", []):
        assert rule["operator"] == "In"
        if labels.get(rule["key"]) not in rule["values"]:
            return False
    return True


def peers_match(peers: list[dict[str, Any]], labels: dict[str, str], namespace: dict[str, str]) -> bool:
    for peer in peers:
        inside = peer.get("namespaceSelector")
        if inside is None and namespace is not HERE:
            continue
        if "ipBlock" in peer or (inside is not None and not selects(inside, namespace)):
            continue
        if selects(peer.get("podSelector", {}), labels):
            return True
    return False


def passes(  # noqa: PLR0917  # each is a part of one question
    policies: list[Any],
    way: str,
    pod: dict[str, str],
    peer: dict[str, str],
    namespace: dict[str, str],
    port: int,
) -> bool:
    """Return whether `pod`'s own policies of a type, "Ingress" or "Egress", allow traffic with `peer`."""
    concerning = [
        policy["spec"]
        for policy in policies
        if way in policy["spec"]["policyTypes"] and selects(policy["spec"]["podSelector"], pod)
    ]
    if not concerning:
        return True
    for spec in concerning:
        for rule in spec.get(way.lower(), []):
            peers = rule.get("from" if way == "Ingress" else "to")
            open_port = port in {entry["port"] for entry in rule["ports"]}
            if open_port and (peers is None or peers_match(peers, peer, namespace)):
                return True
    return False


class Network:
    def __init__(self, rendered: Rendered) -> None:
        self.policies = list(rendered.of("NetworkPolicy").values())
        self.pods = {
            pod["metadata"]["labels"]["app.kubernetes.io/component"]: pod["metadata"]["labels"]
            for pod in rendered.pod_templates().values()
        }

    def reach(self, caller: str, called: str) -> bool:
        one, other, port = self.pods[caller], self.pods[called], PORTS.get(called, 80)
        return passes(self.policies, "Egress", one, other, HERE, port) and passes(
            self.policies, "Ingress", other, one, HERE, port
        )


@pytest.fixture
def network(render: Render) -> Network:
    return Network(render())


@pytest.mark.parametrize("caller", ROLES)
@pytest.mark.parametrize("called", ROLES)
def test_each_pod_reaches_what_it_needs_and_nothing_else(network: Network, caller: str, called: str) -> None:
    assert network.reach(caller, called) == ((caller, called) in ALLOWED)


def test_without_policies_everybody_reaches_everybody(render: Render) -> None:
    network = Network(render({"networkPolicy": {"enabled": False}}))
    assert not network.policies
    assert network.reach("store", "redis")


def test_a_stranger_reaches_nothing(network: Network) -> None:
    for called, port in PORTS.items():
        assert not passes(network.policies, "Ingress", network.pods[called], {"app": "stranger"}, HERE, port)
        # Nor a pod with a worker's labels of another release, or of this one in another namespace.
        other = {**network.pods["worker"], "app.kubernetes.io/instance": "another"}
        assert not passes(network.policies, "Ingress", network.pods[called], other, HERE, port)
        outside = {"kubernetes.io/metadata.name": "elsewhere"}
        assert not passes(
            network.policies, "Ingress", network.pods[called], network.pods["worker"], outside, port
        )


def test_keda_reaches_redis_and_not_the_store(network: Network, render: Render) -> None:
    def from_keda(of: Network, called: str) -> bool:
        return passes(of.policies, "Ingress", of.pods[called], {"app": "keda-operator"}, KEDA, PORTS[called])

    assert from_keda(network, "redis")
    assert not from_keda(network, "store")
    assert not from_keda(Network(render({"scaling": {"mode": "none"}})), "redis")
    assert not from_keda(Network(render({"networkPolicy": {"kedaNamespace": "scaling"}})), "redis")


@pytest.mark.parametrize("caller", ROLES)
def test_names_are_looked_up_by_those_that_need_them(network: Network, caller: str) -> None:
    asks = passes(network.policies, "Egress", network.pods[caller], {"k8s-app": "kube-dns"}, DNS, 53)
    assert asks == (caller not in PORTS)


def test_what_is_elsewhere_can_be_reached_where_it_may_be(render: Render) -> None:
    values = {
        "redis": {
            "enabled": False,
            "external": {"existingSecret": "r", "port": 6380, "keda": {"address": "r:6380"}},
        },
        "store": {"enabled": False, "external": {"port": 8443}},
        "networkPolicy": {"externalTo": [{"ipBlock": {"cidr": "10.1.0.0/16"}}]},
    }
    policies = render(values).of("NetworkPolicy")
    assert set(policies) == {"fleet-deny", "fleet-fleet", "fleet-documents"}
    assert policies["fleet-fleet"]["spec"]["egress"][1] == {
        "ports": [{"port": 6380, "protocol": "TCP"}],
        "to": [{"ipBlock": {"cidr": "10.1.0.0/16"}}],
    }
    assert policies["fleet-documents"]["spec"]["egress"][0]["ports"][0]["port"] == 8443


def test_more_may_be_allowed(render: Render) -> None:
    mail = {"ports": [{"port": 25, "protocol": "TCP"}]}
    policies = render({"networkPolicy": {"extraEgress": [mail]}}).of("NetworkPolicy")
    assert mail in policies["fleet-fleet"]["spec"]["egress"]
