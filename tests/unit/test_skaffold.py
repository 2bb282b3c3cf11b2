"""skaffold.yaml: its schema, and that its names agree with the chart and the Dockerfile."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tools.kind.image import REPOSITORY
from tools.kind.kind import DEFAULT, ROOT
from tools.kind.release import CHART, NAMESPACE, RELEASE, VALUES

FILE = ROOT / "skaffold.yaml"
SCHEMA = Path(__file__).with_name("skaffold.schema.json")
CONFIG = yaml.safe_load(FILE.read_text())
HELM = CONFIG["deploy"]["helm"]["releases"][0]
PROFILES = {profile["name"]: profile for profile in CONFIG["profiles"]}


def checked(file: Path) -> "subprocess.CompletedProcess[str]":
    program = Path(sys.executable).with_name("check-jsonschema")
    return subprocess.run(
        [program, "--schemafile", SCHEMA, file], capture_output=True, text=True, check=False
    )


class TestSchema:
    def test_skaffold_yaml_fits_its_schema(self) -> None:
        run = checked(FILE)
        assert run.returncode == 0, run.stdout

    @pytest.mark.parametrize(
        ("right", "wrong"),
        [
            ("useBuildkit:", "useBuildKit:"),
            ("skaffold/v4beta14", "skaffold/v4beta99"),
            ("valuesFiles: [k8s/values-kind.yaml]", "valuesFiles: k8s/values-kind.yaml"),
            ("            dest: /srv/fleet\n", ""),
            ("statusCheckDeadlineSeconds: 300", 'statusCheckDeadlineSeconds: "5m"'),
            ("command: dev", "command: develop"),
        ],
    )
    def test_what_skaffold_would_refuse_is_refused(self, tmp_path: Path, right: str, wrong: str) -> None:
        text = FILE.read_text()
        assert right in text
        broken = tmp_path / "skaffold.yaml"
        broken.write_text(text.replace(right, wrong))
        assert checked(broken).returncode == 1

    @pytest.mark.skipif(shutil.which("skaffold") is None, reason="skaffold is not installed")
    @pytest.mark.parametrize("profile", PROFILES)
    def test_skaffold_itself_reads_it(self, profile: str, tmp_path: Path) -> None:
        run = subprocess.run(
            ["skaffold", "diagnose", "--yaml-only", "--profile", profile],
            cwd=ROOT,
            env={**os.environ, "HOME": str(tmp_path), "SKAFFOLD_UPDATE_CHECK": "false"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stderr
        (release,) = yaml.safe_load(run.stdout)["deploy"]["helm"]["releases"]
        assert str(release["setValues"]["producer.atInstall"]).lower() == str(profile == "flood").lower()
        assert len(release["valuesFiles"]) == (2 if profile == "dev" else 1)


class TestNames:
    def test_release_and_cluster_are_those_of_make(self) -> None:
        assert CONFIG["deploy"]["kubeContext"] == f"kind-{DEFAULT}"
        assert (HELM["name"], HELM["namespace"]) == (RELEASE, NAMESPACE)
        assert ROOT / HELM["chartPath"] == CHART
        assert [ROOT / name for name in HELM["valuesFiles"]] == [VALUES]

    def test_the_image_is_the_charts(self) -> None:
        (artifact,) = CONFIG["build"]["artifacts"]
        assert artifact["image"] == REPOSITORY
        suffix = re.sub(r"\W", "_", REPOSITORY)
        assert HELM["setValueTemplates"] == {
            "image.repository": "{{.IMAGE_REPO_" + suffix + "}}",
            "image.tag": "{{.IMAGE_TAG_" + suffix + "}}",
        }

    def test_values_that_are_set_exist_in_the_chart(self) -> None:
        for path in [*HELM["setValueTemplates"], *HELM["setValues"]]:
            value = yaml.safe_load((CHART / "values.yaml").read_text())
            for key in path.split("."):
                value = value[key]

    def test_every_source_file_is_brought_to_where_the_image_has_it(self) -> None:
        (rule,) = CONFIG["build"]["artifacts"][0]["sync"]["manual"]
        brought = set(ROOT.glob(rule["src"]))
        assert brought == set((ROOT / "app").rglob("*.py"))
        assert f"\nWORKDIR {rule['dest']}\nCOPY app app\n" in (ROOT / "Dockerfile").read_text()


class TestProfiles:
    def test_with_and_without_the_flood(self) -> None:
        assert HELM["setValues"] == {"producer.atInstall": False}
        (patch,) = PROFILES["flood"]["patches"]
        assert patch == {
            "op": "replace",
            "path": "/deploy/helm/releases/0/setValues/producer.atInstall",
            "value": True,
        }

    def test_dev_adds_workers_that_take_up_edits(self) -> None:
        assert PROFILES["dev"]["activation"] == [{"command": "dev"}]
        (patch,) = PROFILES["dev"]["patches"]
        assert patch["path"] == "/deploy/helm/releases/0/valuesFiles/-"
        values = yaml.safe_load((ROOT / patch["value"]).read_text())
        assert values["podDefaults"]["sourceVolume"] is True
