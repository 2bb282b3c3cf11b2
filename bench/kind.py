"""The figures of a fleet on a kind cluster, which tests/e2e/test_figures.py measures, and their table."""

from collections.abc import Sequence
from itertools import pairwise
from statistics import median

import msgspec

from app.report.timeline import DocumentRecord, Record, Sample


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


class Flood(msgspec.Struct, frozen=True, kw_only=True):
    """A flood of synthetic documents on an empty fleet; times in seconds since its documents were opened."""

    documents: int
    first: float
    """Until the first document was settled."""
    pods: dict[str, int]
    """The most replicas that each queue desired."""
    ready: dict[str, float]
    """Until so many pods of each queue were ready."""
    seconds: float
    """Until the last document was settled."""
    gone: float
    """Until no replica was desired and no pod was ready."""
    work: float
    """Seconds that workers worked on documents."""
    pod_seconds: float
    """Seconds of all worker pods: from the moment a replica is desired until its pod is not ready any more."""

    @property
    def useful(self) -> float:
        """The share of the pods' time that was work on documents."""
        return self.work / self.pod_seconds


def flood_of(records: Sequence[Record]) -> Flood:
    """Return the figures of a flood from the recording of an otherwise idle fleet."""
    documents = [record for record in records if isinstance(record, DocumentRecord)]
    samples = [record for record in records if isinstance(record, Sample)]
    opened = min(document.opened for document in documents)
    ends = [document.finished for document in documents if document.finished is not None]
    samples = [sample for sample in samples if sample.t > opened]
    pods = {name: max(sample.queues[name].replicas for sample in samples) for name in samples[0].queues}
    ready = {
        name: next(sample.t for sample in samples if sample.queues[name].ready >= most) - opened
        for name, most in pods.items()
        if most
    }
    alive = [(sample.t, _alive(sample)) for sample in samples]
    return Flood(
        documents=len(documents),
        first=min(ends) - opened,
        pods=pods,
        ready=ready,
        seconds=max(ends) - opened,
        gone=next(t for t, count in alive if t > max(ends) and not count) - opened,
        work=sum(_work(document) for document in documents),
        pod_seconds=sum((after - t) * count for (t, count), (after, _) in pairwise(alive)),
    )


def _alive(sample: Sample) -> int:
    return sum(max(queue.replicas, queue.ready) for queue in sample.queues.values())


def _work(document: DocumentRecord) -> float:
    if document.stages:
        return sum(stage.finished - stage.started for stage in document.stages)
    if document.started is None or document.finished is None:
        return 0.0
    return document.finished - document.started


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """All figures of one run."""

    firsts: list[First]
    """With the chart's default limit of a whole core a worker."""
    limited: list[First]
    """With the limit of k8s/values-kind.yaml."""
    flood: Flood
    """With the values of k8s/values-kind.yaml."""
    woken: Flood
    """The same with as many `wakeReplicas` as the maximum."""
    drain: Drain
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
    flood, woken, drain = figures.flood, figures.woken, figures.drain
    rows += [
        ("the first row with the small CPU limit of `k8s/values-kind.yaml`", f"{limited:.1f} s"),
        (
            f"{flood.documents:,} synthetic documents: all {flood.pods['pdf']} pods of `pdf` ready",
            f"{flood.ready['pdf']:.0f} s after they were opened",
        ),
        ("the last of them settled", f"{flood.seconds:.0f} s after they were opened"),
        ("useful share of the pods' time of that flood", f"{flood.useful:.0%}"),
        (
            f"the same with `wakeReplicas: {woken.pods['pdf']}`: all ready, last settled, useful share",
            f"{woken.ready['pdf']:.0f} s, {woken.seconds:.0f} s, {woken.useful:.0%}",
        ),
        (f"{drain.documents:,} equal documents with {drain.pods} pods, from zero", f"{drain.seconds:.0f} s"),
        (
            f"work a document in one such pod alone, and among {drain.pods}",
            f"{drain.alone_work:.2f} s, {drain.work:.2f} s",
        ),
        ("speed against one such pod", f"{drain.speedup:.2f} ({drain.speedup / drain.pods:.2f} a pod)"),
        ("time against the ideal, scaling up included", f"{drain.over_ideal:.2f}"),
        (
            f"no pod is left so long after the last document (cooldown {figures.cooldown:.0f} s)",
            f"{flood.gone - flood.seconds:.0f} s",
        ),
    ]
    lines = ["| figure | measured |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows)]
    return "\n".join(lines) + "\n"
