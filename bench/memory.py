"""Memory of a worker process and its child over thousands of documents: its size and its growth."""

import re
from collections.abc import Sequence
from pathlib import Path
from statistics import linear_regression

import msgspec
import psutil  # type: ignore[import-untyped,unused-ignore]  # carries no types

from app.ledger.message import new_id
from bench import documents
from bench.results import Bound, Finding, Series, Target
from bench.rig import Rig, Worker

TITLE = "memory of a worker with its child"
SAMPLE_EVERY = 500
WARM_UP_SHARE = 0.2
"""Share of the documents at the start that growth leaves out: first uses fill caches and arenas."""
MEBIBYTE = 1024 * 1024
GROWTH = Target(bound=Bound.AT_MOST, value=0.5)
"""MiB for 1,000 documents: less per document than the thumbnail of a page."""


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """Memory in MiB after `documents` documents."""

    documents: int
    worker_rss: float
    worker_pss: float | None
    child_rss: float
    child_pss: float | None
    peak_rss: float
    """The highest memory of the worker plus the highest memory of its present child."""


def sample(worker: Worker, settled: int) -> Sample:
    """Measure a worker and its children after `settled` documents."""
    process = psutil.Process(worker.pid)
    children = process.children(recursive=True)
    pids = [child.pid for child in children]
    return Sample(
        documents=settled,
        worker_rss=process.memory_info().rss / MEBIBYTE,
        worker_pss=_proportional([worker.pid]),
        child_rss=sum(child.memory_info().rss for child in children) / MEBIBYTE,
        child_pss=_proportional(pids),
        peak_rss=sum(_peak(pid) for pid in [worker.pid, *pids]),
    )


def _proportional(pids: Sequence[int]) -> float | None:
    """Return the PSS of processes, in MiB, in which a shared page counts in equal parts; None if it is unknown."""
    total = 0
    for pid in pids:
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            return None
        found = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
        total += int(found[1]) if found else 0
    return total / 1024


def _peak(pid: int) -> float:
    """Return the highest resident memory of a process, in MiB; the present one if the system does not report it."""
    try:
        found = re.search(r"^VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return int(found[1]) / 1024 if found else psutil.Process(pid).memory_info().rss / MEBIBYTE


def measure_set(rig: Rig, paths: list[Path], wanted: int, every: int) -> list[Sample]:
    """Send `wanted` documents through one worker and measure it after each `every` of them."""
    chosen = documents.repeated(paths, wanted)
    samples = []
    with rig.workers(1, warm_up=paths[:4]) as workers:
        for start in range(0, wanted, every):
            batch = new_id()
            rig.send(rig.submissions(chosen[start : start + every], batch), batch)
            rig.await_settled(batch, workers, poll=0.02)
            samples.append(sample(workers[0], min(start + every, wanted)))
            rig.forget(batch)
    return samples


def measure(*, documents_wanted: int, every: int = SAMPLE_EVERY) -> Finding:
    """Measure over the corpus and then the synthetic set, or the synthetic set alone."""
    sets = {"corpus": documents.corpus(), "synthetic": documents.synthetic(min(1_000, documents_wanted))}
    series = []
    with Rig() as rig:
        for name, paths in sets.items():
            if paths:
                series += _series(name, measure_set(rig, paths, documents_wanted, every))
        replaced_after = rig.config.sandbox_max_documents
    return Finding(
        parameters={
            "documents": documents_wanted,
            "a sample every": every,
            "child replaced after": replaced_after,
        },
        series=series,
        notes=[
            "Growth is the slope of a least-squares line through the samples after the first fifth.",
            "The samples of a series stand in the JSON in their order.",
            "PSS counts a page that processes share in equal parts to each; RSS counts it in all of them.",
        ],
    )


def _series(name: str, samples: list[Sample]) -> list[Series]:
    later = [one for one in samples if one.documents > WARM_UP_SHARE * samples[-1].documents]
    series = [
        Series.of(f"{name}: peak RSS, worker and child", "MiB", [max(one.peak_rss for one in samples)]),
        Series.of(f"{name}: RSS, worker", "MiB", [one.worker_rss for one in samples]),
        Series.of(f"{name}: RSS, child", "MiB", [one.child_rss for one in samples]),
    ]
    proportional = [
        one.worker_pss + one.child_pss
        for one in samples
        if one.worker_pss is not None and one.child_pss is not None
    ]
    if proportional:
        series.append(Series.of(f"{name}: PSS, worker and child", "MiB", proportional))
    if len(later) > 1:
        thousands = [one.documents / 1_000 for one in later]
        for what, values, target in (
            ("worker", [one.worker_rss for one in later], GROWTH),
            ("worker and child", [one.worker_rss + one.child_rss for one in later], None),
        ):
            slope = linear_regression(thousands, values).slope
            series.append(Series.of(f"{name}: growth, {what}", "MiB for 1,000 documents", [slope], target))
    return series
