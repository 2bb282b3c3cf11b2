"""`tools.kind.addons`: pinned versions, their sources, and changes to their manifests."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.tools.kind.conftest import Machine
from tools.kind.addons import Addon, addons, documents, with_arguments
from tools.kind.command import ClusterError
from tools.kind.kind import ROOT, KindCluster

ALL = ("docker", "kind", "kubectl", "helm")


def deployment(name: str, *arguments: str) -> dict[str, Any]:
    containers = [{"name": "main", "args": list(arguments)}, {"name": "other", "args": []}]
    return {
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"template": {"spec": {"containers": containers}}},
    }


def test_versions_and_addresses() -> None:
    found = addons()
    assert {name: addon.version for name, addon in found.items()} == {
        "keda": "2.20.2",
        "metrics-server": "0.9.0",
    }
    assert found["keda"].source() == (
        "https://github.com/kedacore/keda/releases/download/v2.20.2/keda-2.20.2.yaml"
    )
    assert (
        found["metrics-server"].source().endswith("/metrics-server/releases/download/v0.9.0/components.yaml")
    )


@pytest.fixture(autouse=True)
def without_manifests(monkeypatch: pytest.MonkeyPatch) -> None:
    for addon in addons().values():
        monkeypatch.delenv(addon.file, raising=False)


@pytest.mark.parametrize("name", ["keda", "metrics-server"])
def test_the_readme_installs_the_same_version(name: str) -> None:
    assert addons()[name].source() in (ROOT / "k8s" / "README.md").read_text()


def test_a_local_manifest_replaces_the_release(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    keda = addons()["keda"]
    manifest = tmp_path / "keda.yaml"
    monkeypatch.setenv(keda.file, str(manifest))
    with pytest.raises(ClusterError, match="set KEDA_MANIFEST to keda's manifest, or unset it"):
        keda.source()
    manifest.touch()
    assert keda.source() == str(manifest)


def test_concatenated_objects_are_split() -> None:
    assert documents('{"a": 1}\n{"b":\n {"c": [2]}}\n') == [{"a": 1}, {"b": {"c": [2]}}]
    assert documents("\n") == []


def test_arguments_are_added_once_and_only_where_they_belong() -> None:
    objects = [deployment("metrics-server", "--x"), deployment("other"), {"kind": "Service", "metadata": {}}]
    changed = with_arguments(objects, ["metrics-server"], ["--kubelet-insecure-tls", "--x"])
    containers = changed[0]["spec"]["template"]["spec"]["containers"]
    assert containers[0]["args"] == ["--x", "--kubelet-insecure-tls"]
    assert containers[1]["args"] == []
    assert changed[1:] == objects[1:]
    assert with_arguments(changed, ["metrics-server"], ["--kubelet-insecure-tls", "--x"]) == changed


class TestInstall:
    """Against a kubectl that records its calls."""

    def kubectl(self, this_machine: Machine, *, image: str) -> None:
        found = deployment("x")
        for container in found["spec"]["template"]["spec"]["containers"]:
            container["image"] = image
        answer = json.dumps({"items": [found]})
        made = json.dumps(deployment("metrics-server"))
        this_machine.put(
            "kubectl",
            answer=f"""case "$*" in
              *"get deployment"*) echo '{answer}' ;;
              *dry-run*) echo '{made}' ;;
              *"--filename=-"*) while read -r line || [ -n "$line" ]; do echo "stdin $line" >> "$NOTES"; done ;;
            esac""",
        )

    def applied(self, this_machine: Machine) -> list[str]:
        return [call for call in this_machine.calls("kubectl") if " apply " in call]

    @pytest.mark.parametrize("name", ["keda", "metrics-server"])
    def test_the_same_version_is_not_applied_again(self, this_machine: Machine, name: str) -> None:
        addon: Addon = addons()[name]
        self.kubectl(this_machine, image=f"registry/x:v{addon.version}")
        addon.install(KindCluster(this_machine.name).kube)
        assert not self.applied(this_machine)
        assert [call for call in this_machine.calls("kubectl") if f"apiservice/{addon.api}" in call]

    def test_another_version_is_replaced(self, this_machine: Machine) -> None:
        self.kubectl(this_machine, image="ghcr.io/kedacore/keda:2.19.0")
        addons()["keda"].install(KindCluster(this_machine.name).kube)
        (apply,) = self.applied(this_machine)
        assert " apply --server-side --force-conflicts --filename=https://github.com/kedacore/" in apply

    def test_metrics_server_accepts_the_kubelets_own_certificates(self, this_machine: Machine) -> None:
        self.kubectl(this_machine, image="metrics-server:v0.8.0")
        addons()["metrics-server"].install(KindCluster(this_machine.name).kube)
        (manifest,) = this_machine.calls("stdin")
        assert '"args": ["--kubelet-insecure-tls"]' in manifest
