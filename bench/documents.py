"""The documents that are measured with."""

import csv
from itertools import cycle, islice
from pathlib import Path

from app.producer.corpus import default_directory, make_set
from app.producer.models import Kind

SEED = 7
CORPUS = Path(__file__).resolve().parents[2] / "shared" / "corpus"
"""Real PDFs, where the checkout has them beside it; its index says what pdfium makes of each."""


def synthetic(documents: int = 1_000) -> list[Path]:
    """Return the beginning of the synthetic set, made or from the cache; broken and closed ones included."""
    return [made.path for made in make_set(default_directory(SEED), documents=documents, seed=SEED)]


def synthetic_texts(documents: int) -> list[Path]:
    """Return the documents of text among the first ones of the synthetic set."""
    made = make_set(default_directory(SEED), documents=documents, seed=SEED)
    return [one.path for one in made if one.kind is Kind.TEXT]


def corpus() -> list[Path]:
    """Return the real PDFs of which pdfium reads every page and draws the first; none where there is no corpus."""
    index = CORPUS / "index.tsv"
    if not index.exists():
        return []
    with index.open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return [CORPUS / row["file"] for row in rows if row["pdfium_text"] == row["pdfium_thumb"] == "ok"]


def repeated(paths: list[Path], documents: int) -> list[Path]:
    """Return `documents` paths, `paths` over and over."""
    return list(islice(cycle(paths), documents))
