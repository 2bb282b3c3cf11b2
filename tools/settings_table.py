"""The page docs/settings.md, written from app/config.py: `make docs`, or `python -m tools.settings_table`.

The type of a setting gives its default and bounds, the docstring below it gives its meaning, and the comment above it
gives its section. So the page cannot say anything that the code does not say.
"""

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import msgspec
from msgspec.inspect import FloatType, IntType, LiteralType, StrType, StructType, type_info

from app.config import PREFIX, Settings

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "app" / "config.py"
PAGE = ROOT / "docs" / "settings.md"

UNITS = {
    "seconds": "s",
    "bytes": "bytes",
    "pixels": "pixels",
    "dpi": "dots per inch",
    "pages": "pages",
    "documents": "documents",
    "characters": "characters",
    "attempts": "starts",
    "retries": "retries",
    "chunk": "documents",
}
"""Units by the last word of a setting's name; other settings have no unit."""

HEAD = """\
# Settings

<!-- Written by `make docs` from app/config.py; a test compares. Change it there. -->

Every setting is an environment variable. A command refuses to start (exit code 2, one sentence) if a `FLEET_` name is
not on this page, if a value is out of bounds, or if the order of the time limits would lose work:

    FLEET_SOFT_LIMIT_SECONDS < FLEET_GRACE_SECONDS - 15

`fleet demo` and `fleet process` shorten some times for one machine: `local_settings()` in `app/local/session.py`.
"""

FOOT = """\
## Other variables

| variable | meaning |
| --- | --- |
| `PDF_PASSWORD` | the password of `fleet process --password`, kept out of the list of processes |
| `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, `AWS_ENDPOINT_URL` ... | credentials, region and \
address of an s3:// store, read by obstore; an endpoint may begin with http:// |
| `TMPDIR` | parent of a local run's folder: the embedded server's data and socket, originals, results, logs |
| `XDG_CACHE_HOME` | folder in which `fleet demo` and `fleet flood` keep their synthetic documents between runs |
"""


def meanings() -> dict[str, str]:
    """Return the docstring of each setting, by name, as one line."""
    found = {}
    for node, after in pairwise(_settings_class().body):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            documented = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            text = str(after.value.value) if documented else ""  # type: ignore[attr-defined]  # checked above
            found[node.target.id] = " ".join(text.split()).replace("|", r"\|")
    return found


def sections() -> Iterator[tuple[str, list[str]]]:
    """Yield each section: its title, from the comment above it, and the names of its settings."""
    lines = SOURCE.read_text().splitlines()
    rows = {
        node.lineno: node.target.id
        for node in _settings_class().body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    title = ""
    names: list[str] = []
    for number in range(_settings_class().lineno, max(rows) + 1):
        if comment := re.match(r" {4}# (.+?)\.(?: |$)", lines[number - 1]):
            if names:
                yield title, names
            title, names = comment[1], []
        elif number in rows:
            names.append(rows[number])
    yield title, names


def _settings_class() -> ast.ClassDef:
    tree = ast.parse(SOURCE.read_text())
    return next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Settings")


def bounds(kind: msgspec.inspect.Type) -> str:
    """Return the values that a setting of type `kind` allows, as words; empty if any.

    Raises:
        TypeError: for a type that no setting has had so far.
    """
    if isinstance(kind, LiteralType):
        return ", ".join(f"`{value}`" for value in kind.values)
    if isinstance(kind, StrType):
        return "not empty" if kind.min_length else ""
    if not isinstance(kind, IntType | FloatType):
        raise TypeError(
            f"Describe the bounds of {kind} in tools/settings_table.py: no setting had this type before."
        )
    words = []
    if kind.gt is not None:
        words.append(f"above {kind.gt:,}")
    if kind.ge is not None:
        words.append(f"from {kind.ge:,}")
    if kind.le is not None:
        words.append(f"to {kind.le:,}")
    return " ".join(words)


def rows() -> dict[str, str]:
    """Return the table row of each setting, by name."""
    info = type_info(Settings)
    if not isinstance(info, StructType):
        raise TypeError("app.config.Settings must be a msgspec.Struct.")
    meaning = meanings()
    found = {}
    for field in info.fields:
        default = f"{field.default:.12g}" if isinstance(field.default, int | float) else field.default
        shown = f"`{default}`" if default else "empty"
        unit = UNITS.get(field.name.rpartition("_")[2], "")
        cells = (f"`{PREFIX}{field.name.upper()}`", shown, unit, bounds(field.type), meaning[field.name])
        found[field.name] = f"| {' | '.join(cells)} |"
    return found


def page() -> str:
    """Return the whole page."""
    by_name = rows()
    parts = [HEAD]
    for title, names in sections():
        table = ["| variable | default | unit | allowed | meaning |", "| --- | --- | --- | --- | --- |"]
        parts.append(f"## {title}\n\n" + "\n".join([*table, *(by_name[name] for name in names)]) + "\n")
    return "\n".join([*parts, FOOT])


if __name__ == "__main__":
    PAGE.write_text(page())
