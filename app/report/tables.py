"""The tables of the report: rows of text, with every number as the timeline has it."""

from collections.abc import Sequence

import msgspec

from app.errors import PERMANENT_ERRORS
from app.report.measures import QUANTILES, Run, quantile
from app.report.timeline import Event, What

EN_DASH = "\N{EN DASH}"


class Table(msgspec.Struct, frozen=True):
    """One table of the page; the template escapes its cells."""

    head: list[str]
    rows: list[list[str]]
    words: int = -1
    """The column of sentences, whose lines may wrap; -1: none."""


def queues(run: Run) -> Table:
    """One row per queue: its documents, its peaks, and the quantiles of waiting and service time."""
    shares = " / ".join(f"p{share * 100:.0f}" for share in QUANTILES)
    rows = []
    for name in run.queues:
        stages, samples = run.stages(name), [sample for _, sample in run.series(name)]
        rows.append(
            [
                name,
                f"{len(stages):,}",
                f"{max((sample.waiting for sample in samples), default=0):,}",
                str(max((sample.ready for sample in samples), default=0)),
                _quantiles([stage.started - stage.opened for stage in stages]),
                _quantiles([stage.finished - stage.started for stage in stages]),
            ]
        )
    head = ["queue", "documents", "most waiting", "most replicas"]
    return Table([*head, f"waiting {shares}, s", f"service {shares}, s"], rows)


def nodes(run: Run) -> Table:
    """One row per node: the most ready pods of each queue and of all at once, and the sum of their ready times."""
    rows, queue_names = [], run.queues
    for name in run.nodes:
        series = run.pods(name)
        most = [max((pods.get(queue, 0) for _, pods in series), default=0) for queue in queue_names]
        total = max((sum(pods.values()) for _, pods in series), default=0)
        rows.append([name, *map(str, most), str(total), f"{run.pod_seconds(name):,.0f}"])
    return Table(["node", *queue_names, "most of all queues", "pod-seconds"], rows)


def failures(run: Run) -> Table:
    """One row per error code: how many documents failed with it, and what a person can do."""
    rows = []
    for code, count in sorted(run.summary.failed.items(), key=lambda item: -item[1]):
        known = PERMANENT_ERRORS.get(code)
        rows.append([code, f"{count:,}", (known.__doc__ or "") if known else ""])
    return Table(["code", "documents", "meaning"], rows, words=2)


def incidents(run: Run) -> Table:
    """One row per event other than a scaling step."""
    return _events([event for event in run.events if event.what is not What.SCALE])


def scaling_steps(run: Run) -> Table:
    """One row per change of the desired replicas."""
    return _events([event for event in run.events if event.what is What.SCALE])


def policies(run: Run) -> Table:
    """One row per setting of each queue's scaling policy."""
    recorded = run.meta.policies if run.meta else {}
    rows = [[queue, name, str(value)] for queue, policy in recorded.items() for name, value in policy.items()]
    return Table(["queue", "setting", "value"], rows)


def _events(events: Sequence[Event]) -> Table:
    rows = []
    for event in events:
        change = EN_DASH if event.after is None else f"{event.before or 0} \N{RIGHTWARDS ARROW} {event.after}"
        rows.append([f"{event.t:.1f}", event.what.value, event.queue or EN_DASH, change, event.message])
    return Table(["seconds", "what", "queue", "replicas", "reason"], rows, words=4)


def _quantiles(values: Sequence[float]) -> str:
    return " / ".join(f"{quantile(values, share):.3f}" for share in QUANTILES) if values else EN_DASH
