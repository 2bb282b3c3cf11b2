"""The chart, rendered with the prepared values by helm if it is installed, and else in this process.

The engine in this process is helm's own, from PyPI; it is quicker, so that it answers the many small questions in any
case. A test compares the two.
"""

import base64
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import helm_python
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "pdf-fleet"
HELM = shutil.which("helm")
Document = dict[str, Any]
PREPARED = {path.stem: path for path in sorted((Path(__file__).parent / "values").glob("*.yaml"))} | {
    "default": None,
    "kind": ROOT / "k8s" / "values-kind.yaml",
}
"""Files of prepared values by name; None for the chart's own values."""


class RefusedError(Exception):
    """The chart or its schema refused the values."""


class Rendered(list[Document]):
    """The documents of one rendering."""

    def of(self, kind: str) -> dict[str, Document]:
        """Return the documents of a kind, by name."""
        return {found["metadata"]["name"]: found for found in self if found["kind"] == kind}

    def one(self, kind: str, name: str) -> Document:
        return self.of(kind)[name]

    def secret(self, name: str) -> dict[str, str]:
        """Return a Secret's values, decoded."""
        data = self.one("Secret", name)["data"].items()
        return {key: base64.b64decode(value).decode() for key, value in data}

    def pod_templates(self) -> dict[str, Document]:
        """Return metadata and spec of each pod, by the kind and name of its controller."""
        found = {}
        for document in self:
            spec = document.get("spec", {})
            if document["kind"] == "CronJob":
                spec = spec["jobTemplate"]["spec"]
            template = document if document["kind"] == "Pod" else spec.get("template")
            if template:
                found[f"{document['kind']}/{document['metadata']['name']}"] = template
        return found


def scaled(rendered: Rendered, worker: str) -> dict[str, Any]:
    """Return the spec of a worker's ScaledObject."""
    return dict(rendered.one("ScaledObject", f"fleet-worker-{worker}")["spec"])


@cache
def loaded() -> helm_python.Chart:
    return helm_python.Chart.load(CHART)


def in_process(values: dict[str, Any], *, release: str, upgrade: bool) -> dict[str, str]:
    """Return the rendering of each template, notes included, by the template's name."""
    try:
        return loaded().render(
            values, name=release, namespace="papers", is_install=not upgrade, is_upgrade=upgrade
        )
    except helm_python.HelmError as error:
        raise RefusedError(str(error)) from None


def by_helm(values: dict[str, Any], *options: str, release: str) -> str:
    made = subprocess.run(
        [str(HELM), "template", release, CHART, "--namespace", "papers", "--values", "-", *options],
        input=json.dumps(values),
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        raise RefusedError(made.stderr)
    return made.stdout


@cache
def text(values: str, release: str, *, upgrade: bool, engine: str) -> str:
    """Return the rendering of `values` (JSON) as one text."""
    given = json.loads(values)
    if engine == "helm":
        return by_helm(given, *(["--is-upgrade"] if upgrade else []), release=release)
    return "\n---\n".join(
        made
        for name, made in in_process(given, release=release, upgrade=upgrade).items()
        if not name.endswith("NOTES.txt")
    )


def documents(written: str) -> Rendered:
    return Rendered(found for found in yaml.load_all(written, yaml.CSafeLoader) if found)


@cache
def parsed(values: str, release: str, *, upgrade: bool, engine: str) -> Rendered:
    return documents(text(values, release, upgrade=upgrade, engine=engine))


class Render(Protocol):
    def __call__(
        self, values: Document | None = None, *, release: str = "fleet", upgrade: bool = False
    ) -> Rendered: ...


class Notes(Protocol):
    def __call__(self, values: Document | None = None, *, upgrade: bool = False) -> str: ...


class Live(Protocol):
    def __call__(self, values: Document, *kinds: str) -> Rendered: ...


Refusal = Callable[[Document], str]


@pytest.fixture(scope="session")
def render() -> Render:
    """Renders the chart with some values; the result is shared and must not be changed."""

    def rendered(
        values: dict[str, Any] | None = None, *, release: str = "fleet", upgrade: bool = False
    ) -> Rendered:
        return parsed(json.dumps(values or {}), release, upgrade=upgrade, engine="process")

    return rendered


def prepared(name: str) -> dict[str, Any]:
    path = PREPARED[name]
    return yaml.safe_load(path.read_text()) if path else {}


@pytest.fixture(params=sorted(PREPARED))
def values(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Each of the prepared values in turn."""
    return prepared(request.param)


@pytest.fixture
def rendering(values: dict[str, Any]) -> Rendered:
    """The chart with each of the prepared values in turn, by helm if it is installed."""
    return parsed(json.dumps(values), "fleet", upgrade=False, engine="helm" if HELM else "process")


@pytest.fixture
def both(values: dict[str, Any]) -> tuple[Rendered, Rendered]:
    """The chart with each of the prepared values in turn, by helm and in this process."""
    if HELM is None:
        pytest.skip("helm is not installed, so there is nothing to compare with")
    made = [
        parsed(json.dumps(values), "fleet", upgrade=False, engine=engine) for engine in ("helm", "process")
    ]
    return made[0], made[1]


@pytest.fixture
def written(values: dict[str, Any]) -> str:
    """The text of each rendering."""
    return text(json.dumps(values), "fleet", upgrade=False, engine="helm" if HELM else "process")


@pytest.fixture
def notes() -> Notes:
    """Renders the notes that a person reads after an install."""

    def rendered(values: dict[str, Any] | None = None, *, upgrade: bool = False) -> str:
        return in_process(values or {}, release="fleet", upgrade=upgrade)["pdf-fleet/templates/NOTES.txt"]

    return rendered


@pytest.fixture
def refusal(render: Render) -> Refusal:
    """Renders values that must be refused; returns the message on one line."""

    def message(values: dict[str, Any]) -> str:
        with pytest.raises(RefusedError) as refused:
            render(values)
        return re.sub(r"\s+", " ", str(refused.value))

    return message


@pytest.fixture(scope="session")
def own_values() -> dict[str, Any]:
    """The chart's values.yaml."""
    return dict(yaml.safe_load((CHART / "values.yaml").read_text()))


@pytest.fixture(scope="session")
def schema() -> dict[str, Any]:
    """The chart's values.schema.json."""
    return dict(json.loads((CHART / "values.schema.json").read_text()))


@pytest.fixture
def live() -> Live:
    """Renders as helm does against a cluster with the kinds named; `lookup` finds no object."""
    if HELM is None:
        pytest.skip("helm is not installed, and the engine from PyPI takes no list of a cluster's kinds")

    def rendered(values: dict[str, Any], *kinds: str) -> Rendered:
        options = [f"--api-versions={kind}" for kind in ("v1/Pod", *kinds)]
        return documents(by_helm(values, *options, release="fleet"))

    return rendered
