"""The arithmetic of the report: records sorted by kind, summary, rates, quantiles. Pure."""

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby, pairwise

import msgspec

from app.report.timeline import (
    DocumentRecord,
    Event,
    Meta,
    QueueSample,
    Record,
    RunSummary,
    Sample,
    Stage,
    What,
)

QUANTILES = (0.5, 0.95, 0.99)


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """The records of one run, by kind."""

    meta: Meta | None
    samples: list[Sample]
    events: list[Event]
    documents: list[DocumentRecord]
    summary: RunSummary

    @property
    def seconds(self) -> float:
        """The length of the time axis (s): up to the last sample, event or settlement."""
        times = [sample.t for sample in self.samples] + [event.t for event in self.events]
        times += [document.finished for document in self.documents if document.finished is not None]
        return max(times, default=0.0)

    @property
    def queues(self) -> list[str]:
        """The queues that had work or replicas, in the order in which they first appear."""
        seen: dict[str, bool] = {}
        for sample in self.samples:
            for name, queue in sample.queues.items():
                busy = any((queue.waiting, queue.running, queue.replicas, queue.ready, queue.done))
                seen[name] = seen.get(name, False) or busy
        for stage in self.stages():
            seen[stage.queue] = True
        return [name for name, busy in seen.items() if busy] or list(seen)[:1]

    @property
    def nodes(self) -> list[str]:
        """The nodes of a cluster, in the order in which they first appear; empty for a local run."""
        return list(dict.fromkeys(name for sample in self.samples for name in sample.nodes))

    def pods(self, node: str) -> list[tuple[float, dict[str, int]]]:
        """Return the samples of a node: time (s) and ready pods by queue."""
        return [(sample.t, sample.nodes.get(node, {})) for sample in self.samples if sample.nodes]

    def pod_seconds(self, node: str) -> float:
        """Return the sum of the times (s) for which pods were ready on a node; each sample holds until the next."""
        return sum(
            (after - before) * sum(pods.values()) for (before, pods), (after, _) in pairwise(self.pods(node))
        )

    def stages(self, queue: str | None = None) -> list[Stage]:
        """Return the completed passages of documents through `queue`, or through any queue."""
        passages = (stage for document in self.documents for stage in _passages(document))
        return [stage for stage in passages if queue in {None, stage.queue}]

    def series(self, queue: str) -> list[tuple[float, QueueSample]]:
        """Return the samples of a queue, with their times (s)."""
        return [(sample.t, sample.queues[queue]) for sample in self.samples if queue in sample.queues]


def take_apart(records: Iterable[Record]) -> Run:
    """Sort records by kind; compute the summary if the run was killed before it recorded one."""
    everything = list(records)
    metas = [record for record in everything if isinstance(record, Meta)]
    summaries = [record for record in everything if isinstance(record, RunSummary)]
    return Run(
        meta=metas[0] if metas else None,
        samples=sorted((one for one in everything if isinstance(one, Sample)), key=lambda one: one.t),
        events=sorted((one for one in everything if isinstance(one, Event)), key=lambda one: one.t),
        documents=[record for record in everything if isinstance(record, DocumentRecord)],
        summary=summaries[-1] if summaries else summarize(everything),
    )


def summarize(records: Iterable[Record], *, duplicates: int = 0) -> RunSummary:
    """Compute the summary from the documents, samples and events of a run.

    Args:
        records: of one run; a summary among them is ignored.
        duplicates: repeated settlements, which only the ledger counts.
    """
    everything = list(records)
    documents = [record for record in everything if isinstance(record, DocumentRecord)]
    finished = [document.finished for document in documents if document.finished is not None]
    seconds = max(finished, default=0.0)
    began = max(min((document.opened for document in documents), default=0.0), 0.0)
    peaks: dict[str, int] = {}
    for sample in (record for record in everything if isinstance(record, Sample)):
        for name, queue in sample.queues.items():
            peaks[name] = max(peaks.get(name, 0), queue.ready)
    return RunSummary(
        seconds=seconds,
        documents=len(documents),
        states=dict(Counter(document.state for document in documents)),
        failed=dict(Counter(document.error for document in documents if document.error).most_common()),
        documents_per_second=round(len(finished) / (seconds - began), 2) if seconds > began else 0.0,
        peak_replicas=peaks,
        replaced=sum(1 for one in everything if isinstance(one, Event) and one.what is What.REPLACED),
        duplicates=duplicates,
    )


def quantile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` of all values do not exceed (nearest rank).

    Raises:
        ValueError: there are no values, or the share is not in (0, 1].
    """
    if not values or not 0 < share <= 1:
        raise ValueError("A quantile needs values, and a share between 0 and 1.")
    # 0.07 * 100 is slightly more than 7 in binary; the rank must still be 7, not 8.
    rank = math.ceil(share * len(values) - 1e-9)
    return sorted(values)[max(rank, 1) - 1]


def window_seconds(seconds: float) -> float:
    """Return the moving window (s) for a run of `seconds`: a thirtieth of it, in whole seconds from 1 to 60."""
    return min(max(float(round(seconds / 30)), 1.0), 60.0)


def rates(times: Iterable[float], grid: Sequence[float], window: float) -> list[float]:
    """Return the rate of `times` (1/s) over the `window` seconds up to each point of the grid."""
    ordered = sorted(times)
    return [(bisect_right(ordered, t) - bisect_right(ordered, t - window)) / window for t in grid]


def thinned(rows: Sequence[tuple[float, ...]], most: int) -> list[tuple[float, ...]]:
    """Return the rows that a picture needs to look the same, or nearly the same, as with all of them.

    They are the first and the last of successive rows with equal values. If these are more than `most`, each
    slice of time keeps only its rows with the lowest and the highest of each value.

    Args:
        rows: each a time and the values at that time, in the order of time.
        most: rows to keep; at least two for each value, and two.
    """
    changes = [
        row
        for before, row, after in zip([(), *rows], rows, [*rows[1:], ()], strict=False)
        if not (before and after and before[1:] == row[1:] == after[1:])
    ]
    if len(changes) <= most:
        return changes
    times, *columns = zip(*changes, strict=True)
    slices = (most - 2) // (2 * len(columns))
    length = (times[-1] - times[0]) / slices or 1.0
    places = {0, len(times) - 1}
    for _, group in groupby(range(len(times)), lambda place: (times[place] - times[0]) // length):
        within = list(group)
        for column in columns:
            places |= {min(within, key=column.__getitem__), max(within, key=column.__getitem__)}
    return [changes[place] for place in sorted(places)]


def _passages(document: DocumentRecord) -> list[Stage]:
    if document.stages:
        return document.stages
    if document.started is None or document.finished is None:
        return []
    whole = Stage(
        queue=document.queue, opened=document.opened, started=document.started, finished=document.finished
    )
    return [whole]
