"""The tables of helm/pdf-fleet/README.md, written from values.yaml: `make docs`, or `python -m tools.chart_readme`.

The meaning of a value is the comment above it that begins with `# --`, the form of helm-docs. This module writes the
text between the two markers; people write the text around them.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tools.marked import filled

CHART = Path(__file__).resolve().parents[1] / "helm" / "pdf-fleet"
VALUES = CHART / "values.yaml"
PAGE = CHART / "README.md"

BEGIN = "<!-- values: written by `make docs` from values.yaml; a test compares -->"
END = "<!-- end of values -->"
KEY = re.compile(r"(?P<indent> *)(?P<key>[A-Za-z][\w-]*):(?: +(?P<value>\S.*))?$")
LONGEST = 60
"""Longest default, in characters, that the table shows; for a longer one it names values.yaml."""


class Value(NamedTuple):
    """One documented value: its dotted path, its default as YAML text (empty: a block), its meaning."""

    path: str
    default: str
    meaning: str


def documented(lines: list[str]) -> Iterator[Value]:
    """Yield the values with a `# --` comment, in the order of `lines`.

    Raises:
        ValueError: if a `# --` comment has no value below it.
    """
    stack: list[tuple[int, str]] = []
    meaning: list[str] = []
    for line in lines:
        comment = line.strip()
        if comment.startswith("# -- "):
            meaning = [comment.removeprefix("# -- ")]
        elif comment.startswith("#") and meaning:
            meaning.append(comment.removeprefix("#").strip())
        elif found := KEY.match(line):
            indent = len(found["indent"])
            stack = [*(entry for entry in stack if entry[0] < indent), (indent, found["key"])]
            if meaning:
                yield Value(".".join(key for _, key in stack), found["value"] or "", " ".join(meaning))
                meaning = []
        elif meaning:
            raise ValueError(f"no value follows the comment: {' '.join(meaning)}")


def row(value: Value) -> str:
    """Return a value's row of the table."""
    shown = f"`{value.default}`" if 0 < len(value.default) <= LONGEST else "see values.yaml"
    meaning = value.meaning.replace("|", r"\|")
    return f"| `{value.path}` | {shown} | {meaning} |"


def tables() -> str:
    """Return the tables: one for each top-level key with values below it, and a first one for the other keys."""
    sections: dict[str, list[str]] = {}
    for value in documented(VALUES.read_text().splitlines()):
        section, below, _ = value.path.partition(".")
        sections.setdefault(section if below else "", []).append(row(value))
    parts = []
    for section, rows in sorted(sections.items(), key=lambda entry: bool(entry[0])):
        title = f"### `{section}`" if section else "### For the whole release"
        parts.append("\n".join([title, "", "| value | default | meaning |", "| --- | --- | --- |", *rows]))
    return "\n\n".join(parts)


def page() -> str:
    """Return the whole page with tables made from the present values.yaml.

    Raises:
        ValueError: if a marker is missing.
    """
    return filled(PAGE, BEGIN, f"\n{tables()}\n", END)


if __name__ == "__main__":
    PAGE.write_text(page())
