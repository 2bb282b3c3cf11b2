"""What the sandbox adds to a document: the same reading in the child and in this process."""

import time
from collections.abc import Callable
from pathlib import Path
from statistics import fmean, median

from app.config import Settings
from app.documents.limits import limits_of
from app.documents.models import OcrMode, Reading
from app.documents.reading import read
from app.documents.sandbox import Sandbox
from app.errors import PermanentError
from bench import documents
from bench.results import Bound, Finding, Series, Target

TITLE = "the sandbox's share of a document"
TARGET = Target(bound=Bound.AT_MOST, value=0.7)
READINGS = 3
"""Readings of each file within one repeat, of which the median counts: a file is read in a few milliseconds,
and whoever else uses the machine then disturbs some of them."""


def _milliseconds(work: Callable[[], Reading]) -> float:
    began = time.perf_counter()
    work()
    return 1_000 * (time.perf_counter() - began)


def measure_files(paths: list[Path], *, repeats: int) -> tuple[list[list[float]], list[list[float]]]:
    """Return for each repeat what each file took in the child and in this process, in ms, read in turn.

    Files that do not read are left out.
    """
    config = Settings()
    limits = limits_of(config)
    with Sandbox(limits, max_documents=10**9) as sandbox:
        readable = []
        for path in paths:
            data = path.read_bytes()
            try:
                sandbox.read(data, ocr=OcrMode.NEVER)
            except PermanentError:
                continue
            read(data, limits=limits, ocr=OcrMode.NEVER)
            readable.append(data)
        within: list[list[float]] = []
        without: list[list[float]] = []
        for _ in range(repeats):
            within.append([])
            without.append([])
            for data in readable:
                theirs, ours = [], []
                for _ in range(READINGS):
                    theirs.append(_milliseconds(lambda: sandbox.read(data, ocr=OcrMode.NEVER)))  # noqa: B023  # called at once
                    ours.append(_milliseconds(lambda: read(data, limits=limits, ocr=OcrMode.NEVER)))  # noqa: B023
                within[-1].append(median(theirs))
                without[-1].append(median(ours))
    return within, without


def measure(*, files: int, repeats: int) -> Finding:
    """Measure over the synthetic set, and over the corpus where there is one."""
    sets = {"synthetic": documents.synthetic(files)}
    real = documents.corpus()[:files]
    if real:
        sets["corpus"] = real
    series = []
    counts = {}
    for name, paths in sets.items():
        within, without = measure_files(paths, repeats=repeats)
        counts[f"files ({name})"] = len(within[0])
        added = [
            [a - b for a, b in zip(theirs, ours, strict=True)]
            for theirs, ours in zip(within, without, strict=True)
        ]
        series += [
            Series.of(f"{name}: added, mean over files", "ms a document", map(fmean, added), TARGET),
            Series.of(f"{name}: added, median over files", "ms a document", map(median, added)),
            Series.of(f"{name}: in the sandbox, mean", "ms a document", map(fmean, within)),
            Series.of(f"{name}: in process, mean", "ms a document", map(fmean, without)),
        ]
    return Finding(parameters={**counts, "readings": READINGS, "repeats": repeats}, series=series)
