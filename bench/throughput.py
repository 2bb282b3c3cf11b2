"""Documents per second of the fleet's workers, divided by those of plain processes over the same bytes."""

from pathlib import Path
from statistics import median

import msgspec

from app.ledger.message import new_id
from bench import bare, documents
from bench.cpu import CpuSeconds, cpu_seconds
from bench.rates import steady_rate, whole_rate
from bench.results import Bound, Finding, Series, Target
from bench.rig import Rig

TITLE = "fleet against plain processes"
PROCESSES = 2
TARGET = Target(bound=Bound.AT_LEAST, value=0.90)
WARM_UP = 16
NOTES = [
    "Rates are steady ones: between the 5th and the 95th percentile of the times at which documents were done.",
    "The fleet's times are the ledger's settlements; its workers are warm before the clock starts in any case.",
    "Each run is a few seconds in new processes, plain and fleet in turn: the machine's pace drifts within a minute.",
    "Whole runs count from the flood, or the start of the loop, to the last document.",
    "plain: pypdfium2's documented classes, text of all pages and a 320 px JPEG, bytes in memory, nothing else.",
    "bare reading: the fleet's own reading function in that loop; 1 minus the ratio is the cost of the fleet.",
    "by CPU: CPU seconds of the plain processes over the whole fleet's.",
    "On a busy machine only that one counts: more processes then get a larger share of the cores.",
]


class FleetRun(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one run of the fleet over a list of documents."""

    steady: float
    whole: float
    cpu: CpuSeconds
    succeeded: int


def measure_fleet(rig: Rig, paths: list[Path]) -> FleetRun:
    """Send every path through a fleet of `PROCESSES` workers."""
    with rig.workers(PROCESSES, warm_up=paths[:WARM_UP]) as workers:
        batch = new_id()
        submissions = rig.submissions(paths, batch)
        pids = [worker.pid for worker in workers]
        before = cpu_seconds(pids, rig.server.pid)
        began = rig.send(submissions, batch)
        counts = rig.await_settled(batch, workers, poll=0.2)
        used = cpu_seconds(pids, rig.server.pid).since(before)
        finished = [one.finished for one in rig.documents(submissions) if one.finished is not None]
        rig.forget(batch)
    return FleetRun(
        steady=steady_rate(finished),
        whole=whole_rate(began, finished),
        cpu=used,
        succeeded=counts.succeeded,
    )


def measure(*, documents_wanted: int, repeats: int) -> Finding:
    """Measure over the synthetic set, and over the corpus if there is one."""
    sets = {
        "synthetic": documents.repeated(documents.synthetic(min(1_000, documents_wanted)), documents_wanted)
    }
    real = documents.corpus()
    if real:
        # Whole rounds of the corpus, because its documents cost from 1 ms to 1 s each.
        rounds = max(1, round(documents_wanted / len(real)))
        sets["corpus"] = documents.repeated(real, rounds * len(real))
    series = []
    with Rig() as rig:
        for name, paths in sets.items():
            series += measure_set(rig, name, paths, repeats=repeats)
    return Finding(
        parameters={
            "processes": PROCESSES,
            "repeats": repeats,
            **{f"documents ({name})": len(paths) for name, paths in sets.items()},
        },
        series=series,
        notes=NOTES,
    )


def measure_set(rig: Rig, name: str, paths: list[Path], *, repeats: int) -> list[Series]:
    """Measure one list of documents `repeats` times."""
    fleets: list[FleetRun] = []
    plains: dict[bare.Loop, list[bare.Plain]] = {loop: [] for loop in bare.Loop}
    for repeat in range(repeats):
        # A B C, C B A, ...: a drift of the machine's pace affects all alike.
        order: list[bare.Loop | None] = [bare.Loop.PYPDFIUM2, None, bare.Loop.READING]
        for loop in order if repeat % 2 == 0 else reversed(order):
            if loop is None:
                fleets.append(measure_fleet(rig, paths))
            else:
                plains[loop].append(bare.run(loop, paths, processes=PROCESSES))
    count = len(paths)
    plain, own = plains[bare.Loop.PYPDFIUM2], plains[bare.Loop.READING]
    steady = [run.steady for run in fleets]
    plain_rates, own_rates = ([steady_rate(run.finished) for run in runs] for runs in (plain, own))
    cpu = {
        "fleet, workers": [run.cpu.worker for run in fleets],
        "fleet, their children": [run.cpu.children for run in fleets],
        "fleet, Valkey": [run.cpu.server for run in fleets],
        "fleet, all": [run.cpu.total for run in fleets],
        "plain": [run.cpu_seconds for run in plain],
        "bare reading": [run.cpu_seconds for run in own],
    }
    return [
        Series.of(f"{name}: fleet / plain", "ratio", _ratios(steady, plain_rates), TARGET),
        Series.of(f"{name}: fleet / bare reading", "ratio", _ratios(steady, own_rates)),
        Series.of(
            f"{name}: fleet / plain, whole run",
            "ratio",
            _ratios([run.whole for run in fleets], [whole_rate(run.began, run.finished) for run in plain]),
        ),
        Series.of(f"{name}: fleet / plain, by CPU", "ratio", _ratios(cpu["plain"], cpu["fleet, all"])),
        Series.of(
            f"{name}: fleet / bare reading, by CPU", "ratio", _ratios(cpu["bare reading"], cpu["fleet, all"])
        ),
        Series.of(f"{name}: fleet", "documents/s", steady),
        Series.of(f"{name}: fleet, whole run", "documents/s", [run.whole for run in fleets]),
        Series.of(f"{name}: plain", "documents/s", plain_rates),
        Series.of(f"{name}: bare reading", "documents/s", own_rates),
        *(
            Series.of(f"{name}: CPU, {kind}", "ms a document", [1_000 * used / count for used in seconds])
            for kind, seconds in cpu.items()
        ),
        Series.of(f"{name}: succeeded", "documents", [median(run.succeeded for run in fleets)]),
    ]


def _ratios(these: list[float], those: list[float]) -> list[float]:
    return [this / that for this, that in zip(these, those, strict=True)]
