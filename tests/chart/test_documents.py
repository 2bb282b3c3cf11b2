"""Checks on every document of the chart, with each of the prepared values."""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import kubernetes_validate
import kubernetes_validate.utils
import pytest
from yamllint import linter
from yamllint.config import YamlLintConfig

from app import __version__
from tests.chart.conftest import Render, Rendered

KUBERNETES = "1.34"
LABEL = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")
NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
# As .yamllint at the root, except for the length of lines: hashes and icons are longer.
STYLE = YamlLintConfig(
    "{extends: default, rules: {document-start: disable, line-length: disable, truthy: {check-keys: false}, "
    "indentation: {spaces: 2, indent-sequences: whatever}, comments: {min-spaces-from-content: 1}}}"
)


@pytest.fixture(scope="module", autouse=True)
def schemas_read_once() -> Iterator[None]:
    """Cache schemas: kubernetes_validate would read files of some megabytes again for each document."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("schema_contents", "all_versions"):
            patch.setattr(kubernetes_validate.utils, name, cache(getattr(kubernetes_validate.utils, name)))
        yield


def of_kubernetes(document: dict[str, Any]) -> bool:
    return not document["apiVersion"].startswith("keda.sh/")


def test_kubernetes_would_take_every_document(rendering: Rendered) -> None:
    for document in filter(of_kubernetes, rendering):
        kubernetes_validate.validate(document, KUBERNETES, strict=True)


def test_a_document_that_kubernetes_would_refuse_is_noticed(render: Render) -> None:
    deployment = render().one("Deployment", "fleet-beat")
    wrong = {**deployment, "spec": {**deployment["spec"], "replica": 1}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, KUBERNETES, strict=True)


def test_every_name_is_one_that_kubernetes_and_its_controllers_can_carry(rendering: Rendered) -> None:
    for document in rendering:
        name = document["metadata"]["name"]
        # A StatefulSet's and a CronJob's name goes into names and labels that are longer by up to eleven.
        longest = 52 if document["kind"] in {"StatefulSet", "CronJob"} else 63
        assert len(name) <= longest, name
        assert NAME.fullmatch(name), name


def test_names_stay_short_and_apart_however_long_the_release_is(render: Render) -> None:
    longest = {"workers": {"a23456789-123456789b": {"tasks": ["a.b"], "secondsPerDocument": 1}}}
    one, other = (render(longest, release=release) for release in ("r" * 52 + "1", "r" * 52 + "2"))
    for rendered in (one, other):
        for document in rendered:
            longest_allowed = 52 if document["kind"] in {"StatefulSet", "CronJob"} else 63
            assert len(document["metadata"]["name"]) <= longest_allowed
            # KEDA names its HPA keda-hpa-<name> and carries it in a label.
            assert document["kind"] != "ScaledObject" or len(document["metadata"]["name"]) <= 63
    assert not {d["metadata"]["name"] for d in one} & {d["metadata"]["name"] for d in other}


def test_no_document_is_made_twice(rendering: Rendered) -> None:
    made = [(document["kind"], document["metadata"]["name"]) for document in rendering]
    assert len(made) == len(set(made))


def test_every_document_says_whose_it_is(rendering: Rendered) -> None:
    components = set()
    for document in rendering:
        labels = document["metadata"]["labels"]
        assert labels["app.kubernetes.io/name"] == "pdf-fleet"
        assert labels["app.kubernetes.io/instance"] == "fleet"
        assert labels["app.kubernetes.io/managed-by"] in {"Helm", "helm-c"}
        assert labels["app.kubernetes.io/part-of"] == "pdf-fleet"
        assert labels["app.kubernetes.io/version"]
        components.add(labels["app.kubernetes.io/component"])
        for value in labels.values():
            assert len(value) <= 63
            assert LABEL.fullmatch(value), value
    assert components <= {"worker", "beat", "producer", "redis", "store", "test", "network"}


def test_every_selector_finds_its_own_pods_and_no_others(rendering: Rendered) -> None:
    pods = {name: template["metadata"]["labels"] for name, template in rendering.pod_templates().items()}
    for document in rendering:
        if document["kind"] not in {"Deployment", "StatefulSet", "Service", "PodDisruptionBudget"}:
            continue
        selector = document["spec"]["selector"]
        wanted = selector.get("matchLabels", selector).items()
        found = {name for name, labels in pods.items() if wanted <= labels.items()}
        expected = document["metadata"]["name"]
        assert {name.partition("/")[2] for name in found} == {expected}, document["kind"]


def test_whatever_is_referred_to_is_made_or_named_in_the_values(
    rendering: Rendered, values: dict[str, Any]
) -> None:
    made = {(document["kind"], document["metadata"]["name"]) for document in rendering}
    given = str(values)
    for pod in rendering.pod_templates().values():
        spec = pod["spec"]
        for kind, name in references(spec):
            assert (
                (kind, name) in made or f"'{name}'" in given or (kind, name) == ("ServiceAccount", "default")
            )
        declared = {volume["name"] for volume in spec.get("volumes", [])} | {"data"}
        for container in [*spec.get("initContainers", []), *spec["containers"]]:
            assert {mount["name"] for mount in container["volumeMounts"]} <= declared


def references(spec: dict[str, Any]) -> set[tuple[str, str]]:
    found = {("ServiceAccount", spec["serviceAccountName"])}
    for container in [*spec.get("initContainers", []), *spec["containers"]]:
        for source in container.get("envFrom", []):
            found.add(("ConfigMap", source["configMapRef"]["name"]))
        for variable in container.get("env", []):
            if secret := variable.get("valueFrom", {}).get("secretKeyRef"):
                found.add(("Secret", secret["name"]))
    for volume in spec.get("volumes", []):
        for source in [volume, *volume.get("projected", {}).get("sources", [])]:
            if secret := source.get("secret"):
                found.add(("Secret", secret.get("secretName") or secret["name"]))
            if config := source.get("configMap"):
                found.add(("ConfigMap", config["name"]))
            if claim := source.get("persistentVolumeClaim"):
                found.add(("PersistentVolumeClaim", claim["claimName"]))
    return found


@cache  # most documents are the same with most of the prepared values
def problems_of(document: str) -> list[str]:
    return [str(problem) for problem in linter.run(document, STYLE)]


def test_what_is_rendered_is_tidy(written: str) -> None:
    for document in written.split("\n---\n"):
        assert not problems_of(document.strip() + "\n"), document


def test_helm_and_the_engine_from_pypi_make_the_same(both: tuple[Any, Any]) -> None:
    def comparable(rendered: Rendered) -> dict[tuple[str, str], Any]:
        return {
            (document["kind"], document["metadata"]["name"]): without_chance(document)
            for document in rendered
        }

    helm, process = both
    assert comparable(helm) == comparable(process)


def without_chance(value: Any) -> Any:
    """Return `value` without random passwords and without the name of the tool."""
    if isinstance(value, dict):
        return {
            key: without_chance(inner)
            for key, inner in value.items()
            if not key.startswith("checksum/") and key not in {"data", "app.kubernetes.io/managed-by"}
        }
    return [without_chance(inner) for inner in value] if isinstance(value, list) else value


def test_the_namespace_is_left_to_helm(rendering: Rendered) -> None:
    assert not [document for document in rendering if "namespace" in document["metadata"]]


def test_all_off_leaves_the_settings_alone(render: Render) -> None:
    off = {
        "scaling": {"mode": "none"},
        "workers": {name: {"enabled": False} for name in ("pdf", "ocr", "default")},
        "beat": {"enabled": False},
        "producer": {"enabled": False},
        "test": {"enabled": False},
        "networkPolicy": {"enabled": False},
        "serviceAccount": {"create": False},
        "redis": {"enabled": False, "external": {"existingSecret": "my-redis"}},
        "store": {"enabled": False},
    }
    assert [(document["kind"], document["metadata"]["name"]) for document in render(off)] == [
        ("ConfigMap", "fleet")
    ]


def test_the_chart_is_of_this_version(render: Render) -> None:
    beat = render().one("Deployment", "fleet-beat")
    assert beat["metadata"]["labels"]["app.kubernetes.io/version"] == __version__
    assert beat["spec"]["template"]["spec"]["containers"][0]["image"] == f"pdf-fleet:{__version__}"
