"""The documents of the benchmarks."""

import csv
from itertools import cycle, islice
from pathlib import Path

from app.producer.corpus import default_directory, make_set
from app.producer.models import Kind

SEED = 7
CORPUS = Path(__file__).resolve().parents[2] / "shared" / "corpus"
"""A folder of real PDFs beside the checkout, if there is one; its index has PDFium's result for each."""


def synthetic(documents: int = 1_000) -> list[Path]:
    """Return the first documents of the synthetic set, broken and encrypted ones included."""
    return [made.path for made in make_set(default_directory(SEED), documents=documents, seed=SEED)]


def synthetic_texts(documents: int) -> list[Path]:
    """Return the text documents among the first `documents` of the synthetic set."""
    made = make_set(default_directory(SEED), documents=documents, seed=SEED)
    return [one.path for one in made if one.kind is Kind.TEXT]


def corpus() -> list[Path]:
    """Return the real PDFs of which PDFium reads every page and draws the first; none if there is no corpus."""
    index = CORPUS / "index.tsv"
    if not index.exists():
        return []
    with index.open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return [CORPUS / row["file"] for row in rows if row["pdfium_text"] == row["pdfium_thumb"] == "ok"]


def repeated(paths: list[Path], documents: int) -> list[Path]:
    """Return `documents` paths: `paths`, repeated as often as necessary."""
    return list(islice(cycle(paths), documents))
