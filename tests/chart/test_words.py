"""Texts for people: Chart.yaml, the notes and the README; and the linters' findings."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml
from yamllint import linter
from yamllint.config import YamlLintConfig

from app import __version__
from tests.chart.conftest import Notes
from tools.chart_readme import PAGE, Value, documented, page

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "pdf-fleet"


def test_the_readme_has_the_values_as_they_are() -> None:
    assert PAGE.read_text() == page(), "run `make docs`"


def test_every_value_is_documented(own_values: dict[str, Any]) -> None:
    paths = {value.path for value in documented((CHART / "values.yaml").read_text().splitlines())}

    def undocumented(values: dict[str, Any], below: str = "") -> list[str]:
        found = []
        for key, value in values.items():
            path = f"{below}{key}"
            if path in paths:
                continue
            inside = isinstance(value, dict) and value
            found += undocumented(value, f"{path}.") if inside else [path]
        return found

    assert undocumented(own_values) == []


def test_a_comment_is_read_with_the_value_below_it() -> None:
    lines = [
        "a:",
        "  # -- One",
        "  # and more.",
        "  b: 1",
        "  # No meaning.",
        "  c: 2",
        "# -- Block.",
        "d:",
        "  e: 1",
    ]
    assert list(documented(lines)) == [Value("a.b", "1", "One and more."), Value("d", "", "Block.")]


def test_a_comment_that_documents_nothing_is_noticed() -> None:
    with pytest.raises(ValueError, match="Lost"):
        list(documented(["# -- Lost.", "", "a: 1"]))


class TestChart:
    @pytest.fixture
    def chart(self) -> dict[str, Any]:
        return dict(yaml.safe_load((CHART / "Chart.yaml").read_text()))

    def test_it_is_of_the_programs_version(self, chart: dict[str, Any]) -> None:
        assert chart["appVersion"] == chart["version"] == __version__
        assert f"image: pdf-fleet:{__version__}" in chart["annotations"]["artifacthub.io/images"]

    def test_it_names_the_images_that_it_uses(
        self, chart: dict[str, Any], own_values: dict[str, Any]
    ) -> None:
        named = {entry["image"] for entry in yaml.safe_load(chart["annotations"]["artifacthub.io/images"])}
        for role in ("redis", "store"):
            image = own_values[role]["image"]
            assert f"{image['repository']}:{image['tag']}" in named

    def test_it_says_what_it_is(self, chart: dict[str, Any]) -> None:
        assert chart["apiVersion"] == "v2"
        assert {"kubeVersion", "icon", "description", "keywords", "annotations"} <= set(chart)
        assert "maintainers" not in chart

    def test_helm_has_nothing_to_say_against_it(self) -> None:
        report = helm_python.lint(CHART, strict=True)
        assert not report.get("errors"), report
        assert all(message["severity"] < 2 for message in report["messages"] or []), report

    def test_nor_has_the_program_helm(self) -> None:
        helm = shutil.which("helm")
        if helm is None:
            pytest.skip("helm is not installed; its engine from PyPI has linted the chart")
        said = subprocess.run([helm, "lint", "--strict", CHART], capture_output=True, text=True, check=False)
        assert said.returncode == 0, said.stdout + said.stderr

    @pytest.mark.parametrize("name", ["Chart.yaml", "values.yaml"])
    def test_yamllint_has_nothing_to_say_against_its_files(self, name: str) -> None:
        config = YamlLintConfig(file=str(ROOT / ".yamllint"))
        assert not [str(problem) for problem in linter.run((CHART / name).read_text(), config)]

    def test_nothing_in_it_merges_with_what_drops_zeros(self) -> None:
        for template in (CHART / "templates").rglob("*"):
            if template.is_file():
                assert not re.search(r"\bm(ustM)?erge\b", template.read_text()), template


class TestNotes:
    def test_they_tell_what_to_type_next(self, notes: Notes) -> None:
        said = notes()
        for command in (
            "kubectl logs -n papers -f job/fleet-flood",
            "kubectl create job -n papers --from=cronjob/fleet-flood fleet-flood-$(date +%s)",
            "helm test fleet -n papers --logs",
            "kubectl exec -n papers deploy/fleet-beat -- fleet status",
            "helm uninstall fleet -n papers --wait",
            "kubectl delete pvc -n papers data-fleet-redis-0 fleet-store",
        ):
            assert f"\n  {command}\n" in f"{said}\n"
        assert "default, ocr, pdf" in said
        assert "A flood of 1000 documents" in said

    def test_they_tell_of_no_flood_that_is_none(self, notes: Notes) -> None:
        assert "is on its way" not in notes(upgrade=True)
        assert "is on its way" not in notes({"producer": {"atInstall": False}})
        assert "flood" not in notes({"producer": {"enabled": False}})

    @pytest.mark.parametrize(
        ("values", "claims"),
        [
            ({}, "data-fleet-redis-0 fleet-store"),
            ({"redis": {"persistence": {"keep": False}}}, " fleet-store"),
            ({"store": {"persistence": {"enabled": False}}}, "data-fleet-redis-0"),
        ],
    )
    def test_they_name_the_claims_that_stay(self, notes: Notes, values: dict[str, Any], claims: str) -> None:
        assert notes(values).rstrip().endswith(claims)

    def test_nothing_stays_where_nothing_was_kept(self, notes: Notes) -> None:
        gone = {"persistence": {"keep": False}}
        assert "pvc" not in notes({"redis": gone, "store": gone})

    @pytest.mark.parametrize(
        ("mode", "words"),
        [("hpa-cpu", "kubectl get hpa -n papers"), ("none", "--set workers.pdf.replicas=3")],
    )
    def test_they_fit_the_mode(self, notes: Notes, mode: str, words: str) -> None:
        assert words in notes({"scaling": {"mode": mode}})
        assert "scaledobjects" not in notes({"scaling": {"mode": mode}})

    def test_the_readmes_secret_has_the_users_that_the_chart_makes(self) -> None:
        written = (CHART / "README.md").read_text()
        template = (CHART / "templates" / "_secrets.tpl").read_text()
        for rights in (
            "~* &* +@all -@dangerous +info",
            "-@all +ping +hello +auth +client +eval +evalsha +type +llen",
        ):
            assert rights in written
            assert rights in template
