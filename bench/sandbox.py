"""The cost of the sandbox per document: the same reading in the child and in this process."""

import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import fmean, median

from app.config import Settings
from app.documents.models import OcrMode, Reading
from app.documents.reading import read
from app.errors import PermanentError
from app.sandbox.limits import limits_of
from app.sandbox.sandbox import Sandbox
from bench import documents
from bench.results import Bound, Finding, Series, Target

TITLE = "the sandbox's share of a document"
TARGET = Target(bound=Bound.AT_MOST, value=0.7)
READINGS = 3
"""Readings of each file within one process; the median counts, because a reading takes a few milliseconds and other
programs on the machine disturb some of them."""


def _milliseconds(work: Callable[[], Reading]) -> float:
    began = time.perf_counter()
    work()
    return 1_000 * (time.perf_counter() - began)


def measure_files(paths: list[Path]) -> tuple[list[float], list[float]]:
    """Return the time of each file in a child and in this process, in ms, read in turn.

    A file that cannot be read is left out.
    """
    limits = limits_of(Settings())
    within: list[float] = []
    without: list[float] = []
    with Sandbox(limits, max_documents=10**9) as sandbox:
        for path in paths:
            data = path.read_bytes()
            try:
                sandbox.read(data, ocr=OcrMode.NEVER)
            except PermanentError:
                continue
            read(data, limits=limits, ocr=OcrMode.NEVER)
            theirs, ours = [], []
            for _ in range(READINGS):
                theirs.append(_milliseconds(lambda: sandbox.read(data, ocr=OcrMode.NEVER)))  # noqa: B023  # called at once
                ours.append(_milliseconds(lambda: read(data, limits=limits, ocr=OcrMode.NEVER)))  # noqa: B023
            within.append(median(theirs))
            without.append(median(ours))
    return within, without


def measure_afresh(paths: list[Path], *, repeats: int) -> list[tuple[list[float], list[float]]]:
    """Measure the files `repeats` times, each time in a new process with a new child.

    The same code runs up to a tenth faster or slower in one process than in another for their whole life, because of
    their memory layout.
    """
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn, max_tasks_per_child=1) as executor:
        return [executor.submit(measure_files, paths).result() for _ in range(repeats)]


def measure(*, files: int, repeats: int) -> Finding:
    """Measure over the synthetic set, and over the corpus if there is one."""
    sets = {"synthetic": documents.synthetic(files)}
    real = documents.corpus()[:files]
    if real:
        sets["corpus"] = real
    series = []
    counts = {}
    for name, paths in sets.items():
        runs = measure_afresh(paths, repeats=repeats)
        counts[f"files ({name})"] = len(runs[0][0])
        added = [[a - b for a, b in zip(theirs, ours, strict=True)] for theirs, ours in runs]
        series += [
            Series.of(f"{name}: added, mean over files", "ms a document", map(fmean, added), TARGET),
            Series.of(f"{name}: added, median over files", "ms a document", map(median, added)),
            Series.of(
                f"{name}: in the sandbox, mean", "ms a document", (fmean(theirs) for theirs, _ in runs)
            ),
            Series.of(f"{name}: in process, mean", "ms a document", (fmean(ours) for _, ours in runs)),
        ]
    return Finding(
        parameters={**counts, "readings": READINGS, "repeats": repeats},
        series=series,
        notes=["Each run is a new process with a new child; the median of them counts."],
    )
