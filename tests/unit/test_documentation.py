"""The promises of the documentation, compared with the code."""

import ast
import importlib
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

import app
from app.cli.root import app as cli
from app.config import PREFIX, Settings
from app.errors import PERMANENT_ERRORS, FleetError, TransientError
from app.ledger.reconcile import Findings
from app.local.delivery import Delivered, IndexLine
from app.storage.layout import RESULT_FILES
from tools import figures_table, settings_table

ROOT = Path(app.__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
FOLDER = (ROOT / "docs" / "folder.md").read_text()
"""The page about `fleet process`, which lists fields, exit codes and error codes."""
COMMANDS = typer.main.get_command(cli)
OWN_CODES = {"worker_lost", "internal_error", "unreadable_file"}
"""Codes without an exception type; `app/worker/attempt.py` and `app/local/delivery.py` assign them."""


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


@cache
def every_test() -> str:
    """Return the source of all tests as one text."""
    return "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))


def prose(page: Path) -> str:
    """Return a page without its fenced code."""
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def code(text: str) -> Iterator[str]:
    """Return the lines of code in a page and its text in backticks."""
    for line in text.splitlines():
        if line.startswith("    "):
            yield line.strip().partition("  #")[0]
    yield from re.findall(r"`([^`\n]+)`", text)


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings."""
    titles = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def table_under(heading: str) -> list[list[str]]:
    """Cells of the rows of the table that follows `heading` in docs/folder.md."""
    rows = re.search(r"^\| -[^\n]*\n((?:\|[^\n]*\n)+)", FOLDER.partition(heading)[2], re.MULTILINE)
    assert rows, heading
    return [[cell.strip() for cell in row.strip("|\n").split(" | ")] for row in rows[1].splitlines()]


def first_cells(heading: str) -> set[str]:
    return {name for row in table_under(heading) for name in re.findall(r"`(\w+)`", row[0])}


@pytest.mark.parametrize("page", PAGES, ids=named)
class TestEveryPage:
    def test_its_links_lead_somewhere(self, page: Path) -> None:
        text = prose(page)
        targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|srcset)="([^"]+)"', text)
        for target in targets:
            if re.match(r"https?://", target):
                continue
            path, _, anchor = target.partition("#")
            meant = (page.parent / path).resolve() if path else page
            assert meant.exists(), f"{target} is not there"
            assert not anchor or anchor in anchors(meant), f"{target} has no such heading"

    def test_its_make_targets_are_there(self, page: Path) -> None:
        declared = set(re.findall(r"^([a-z0-9-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
        named = {
            found for line in code(page.read_text()) for found in re.findall(r"^make ([a-z0-9-]+)", line)
        }
        assert named <= declared

    def test_its_tests_and_files_are_there(self, page: Path) -> None:
        for words in re.findall(r"`([^`\n]+)`", prose(page)):
            if re.fullmatch(r"test_\w+", words):
                assert f"def {words}(" in every_test(), words
            if re.fullmatch(r"(?:app|docs|tests|tools|examples|requirements)/[\w./-]+", words):
                assert (ROOT / words).exists(), words

    def test_its_programs_import_what_is_there(self, page: Path) -> None:
        for program in re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL):
            for node in ast.walk(ast.parse(program)):
                if isinstance(node, ast.ImportFrom) and str(node.module).startswith("app."):
                    module = importlib.import_module(str(node.module))
                    assert all(hasattr(module, one.name) for one in node.names), ast.unparse(node)


@pytest.mark.parametrize("page", [one for one in PAGES if one.resolve() != ROOT / "CHANGELOG.md"], ids=named)
class TestEveryPageOfThePresent:
    """The changelog also names what is gone."""

    def test_its_settings_are_there(self, page: Path) -> None:
        names = re.findall(rf"\b{PREFIX}[A-Z_]+[A-Z]\b(?!_?\*)", page.read_text())
        assert {name.removeprefix(PREFIX).lower() for name in names} <= set(Settings.__struct_fields__)

    def test_its_commands_are_there(self, page: Path) -> None:
        for line in code(page.read_text()):
            words = re.match(r"(?:\.venv/bin/)?fleet ([a-z].*)", line)
            command: Any = COMMANDS
            for word in words[1].split() if words else ():
                if word.startswith("--"):
                    assert word in {name for one in command.params for name in one.opts}, line
                elif hasattr(command, "commands") and word.isalpha():
                    command = command.get_command(None, word)
                    assert command is not None, line


def test_the_page_of_settings_is_what_the_code_says() -> None:
    assert settings_table.PAGE.read_text() == settings_table.page(), "run `make docs`"


def test_the_clusters_figures_are_those_of_the_last_run() -> None:
    assert figures_table.PAGE.read_text() == figures_table.page(), "run `make docs`"


def test_every_error_code_says_what_to_do() -> None:
    def kinds(base: type[FleetError]) -> Iterator[type[FleetError]]:
        yield base
        for kind in base.__subclasses__():
            yield from kinds(kind)

    transient = {kind.code for kind in kinds(TransientError) if issubclass(kind, TransientError)}
    # The base class is never raised by itself.
    wanted = {*PERMANENT_ERRORS, *transient, *OWN_CODES} - {TransientError.code}
    rows = table_under("**Error codes.**")
    assert len(rows) == len(wanted)
    assert first_cells("**Error codes.**") == wanted
    assert all(len(row) == 2 and row[1] for row in rows)


def test_codes_without_a_type_are_given_somewhere() -> None:
    source = "\n".join(path.read_text() for path in (ROOT / "app").rglob("*.py"))
    assert all(f'"{code}"' in source for code in OWN_CODES)


def test_the_index_lines_fields_are_explained() -> None:
    assert first_cells("The fields of a line:") == set(IndexLine.__struct_fields__)
    assert set(re.findall(r"`(\w+)`", table_under("The fields of a line:")[-1][1])) == set(
        Delivered.__struct_fields__
    )


def test_the_files_of_a_document_are_explained() -> None:
    files = re.findall(r"`NAME/([\w.]+)`", FOLDER.partition("`results/` then holds:")[2])
    assert files == list(RESULT_FILES.values())


def test_exit_codes_are_explained() -> None:
    def codes(kind: type[FleetError]) -> set[int]:
        return {kind.exit_code}.union(*(codes(sub) for sub in kind.__subclasses__()))

    rows = table_under("**Exit codes")
    explained = {int(number) for row in rows for number in row[0].split(", ")}
    assert explained >= {0, 130, 143} | codes(FleetError)


def test_the_reconcilers_findings_are_explained() -> None:
    page = (ROOT / "docs" / "loss.md").read_text().partition("## The reconciler's four findings")[2]
    assert re.findall(r"^\| \*(\w+)\*", page, re.MULTILINE) == list(Findings.__struct_fields__)


class TestArchitecture:
    PAGE = (ROOT / "docs" / "architecture.md").read_text()

    def rows(self, heading: str) -> list[str]:
        section = self.PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
        return re.findall(r"^\| \d+ \| .*", section, re.MULTILINE)

    def test_its_rows_are_the_layers_of_the_contract(self) -> None:
        contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
        layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
        rows = [re.findall(r"`app/(\w+)", row) for row in self.rows("Rooms and layers")]
        assert [["celery_app"], *rows] == [layer.split(" | ") for layer in layers]

    def test_a_message_passes_through_no_file_twice(self) -> None:
        files = [
            path for row in self.rows("The way of a message") for path in re.findall(r"`(app/[^`]+)`", row)
        ]
        assert len(files) == len(set(files)) >= 7
