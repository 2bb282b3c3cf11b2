"""Writes the README's table of a cluster's figures from bench/results/kind.json: `make docs`."""

from pathlib import Path

import msgspec

from bench.kind import Figures, table
from bench.results import ON_CLUSTER
from tools.marked import filled

PAGE = Path(__file__).resolve().parents[1] / "README.md"
BEGIN = "<!-- figures: written by `make docs` from bench/results/kind.json; a test compares -->"
END = "<!-- end of figures -->"


def page() -> str:
    """Return the README with the table of the figures that are there.

    Raises:
        ValueError: where a marker is missing.
    """
    figures = msgspec.json.decode(ON_CLUSTER.read_bytes(), type=Figures)
    return filled(PAGE, BEGIN, table(figures).rstrip(), END)


if __name__ == "__main__":
    PAGE.write_text(page())
