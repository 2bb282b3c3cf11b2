"""The figures of a fleet on a kind cluster, which tests/e2e/test_figures.py measures, and their table."""

from statistics import median

import msgspec


class First(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of the time from publishing a document to an empty fleet until its settlement, in seconds."""

    poll: float
    """Until KEDA's poll of the queue: the Deployment desires a replica."""
    scheduling: float
    """Until its pod had a node."""
    container: float
    """Until the API server reported the container as running, which it does up to a second late."""
    worker: float
    """Until the worker started the document: the rest of the start of Python and Celery within the pod's share of a
    core."""
    work: float
    """Until it was settled."""
    total: float


class Drain(msgspec.Struct, frozen=True, kw_only=True):
    """A flood of equal documents, through one pod and through many."""

    documents: int
    pods: int
    seconds: float
    """From the first document's publishing to the last one's settlement, scaling up included."""
    alone_documents: int
    alone_seconds: float
    """The lone pod's time, from its first start to its last settlement."""
    alone_work: float
    """Mean seconds of work per document in the lone pod."""
    work: float
    """Mean seconds of work per document in the many pods."""

    @property
    def alone_rate(self) -> float:
        """Documents per second of one pod."""
        return self.alone_documents / self.alone_seconds

    @property
    def speedup(self) -> float:
        """How many times as fast as one pod."""
        return self.documents / self.seconds / self.alone_rate

    @property
    def over_ideal(self) -> float:
        """The measured time as a multiple of the time that all pods would need if they worked from the first moment."""
        return self.pods / self.speedup


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """All figures of one run."""

    firsts: list[First]
    """With the chart's default limit of a whole core a worker."""
    limited: list[First]
    """With the limit of k8s/values-kind.yaml."""
    drain: Drain
    zero_after: float
    """From the last settlement until the Deployment desired no worker, in seconds."""
    cooldown: float


def table(figures: Figures) -> str:
    """Return the figures as a table in Markdown."""
    totals = sorted(first.total for first in figures.firsts)
    limited = median(first.total for first in figures.limited)
    rows = [
        (
            "publish on an empty fleet to first document settled, median (least to most)",
            f"{median(totals):.1f} s ({totals[0]:.1f} to {totals[-1]:.1f})",
        ),
    ]
    names = {
        "poll": "KEDA's poll",
        "scheduling": "scheduling",
        "container": "start of the container",
        "worker": "start of the worker",
        "work": "the document",
    }
    for name, title in names.items():
        part = median(getattr(first, name) for first in figures.firsts)
        rows.append((f"of that, {title}", f"{part:.1f} s"))
    drain = figures.drain
    rows += [
        ("the first row with the small CPU limit of `k8s/values-kind.yaml`", f"{limited:.1f} s"),
        (f"{drain.documents:,} documents with {drain.pods} pods, from zero", f"{drain.seconds:.0f} s"),
        (
            f"work a document in one such pod alone, and among {drain.pods}",
            f"{drain.alone_work:.2f} s, {drain.work:.2f} s",
        ),
        ("speed against one such pod", f"{drain.speedup:.2f} ({drain.speedup / drain.pods:.2f} a pod)"),
        ("time against the ideal, scaling up included", f"{drain.over_ideal:.2f}"),
        (
            f"back at 0 replicas after the last document (cooldown {figures.cooldown:.0f} s)",
            f"{figures.zero_after:.0f} s",
        ),
    ]
    lines = ["| figure | measured |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows)]
    return "\n".join(lines) + "\n"
