"""The table of a cluster's figures in docs/measured.md, written from bench/results/kind.json: `make docs`."""

from pathlib import Path

import msgspec

from bench.kind import Figures, table
from bench.results import ON_CLUSTER
from tools.marked import filled

PAGE = Path(__file__).resolve().parents[1] / "docs" / "measured.md"
BEGIN = "<!-- figures: written by `make docs` from bench/results/kind.json; a test compares -->"
END = "<!-- end of figures -->"


def page() -> str:
    """Return docs/measured.md with the table of the figures of the last run.

    Raises:
        ValueError: if a marker is missing.
    """
    figures = msgspec.json.decode(ON_CLUSTER.read_bytes(), type=Figures)
    return filled(PAGE, BEGIN, table(figures).rstrip(), END)


if __name__ == "__main__":
    PAGE.write_text(page())
