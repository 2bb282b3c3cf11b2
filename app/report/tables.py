"""The words and tables of the report, as HTML: every number as the timeline has it, every text escaped."""

from collections.abc import Iterable, Sequence
from html import escape

from app.errors import PERMANENT_ERRORS
from app.report.measures import QUANTILES, Run, quantile, window_seconds
from app.report.timeline import Meta, What

EN_DASH = "\N{EN DASH}"


def title(run: Run) -> str:
    """The run in one line."""
    return f"{_documents(run.summary.documents)} in {run.summary.seconds:,.1f} s"


def subtitle(run: Run) -> str:
    """When and how it was started."""
    if run.meta is None:
        return "The timeline does not say how this run was started."
    started = run.meta.started.strftime("%Y-%m-%d %H:%M:%S %Z").strip()
    return f"<code>{escape(run.meta.command)}</code>, started {escape(started)}"


def tiles(run: Run) -> str:
    """The numbers that people look for first."""
    summary = run.summary
    facts = {
        "documents": f"{summary.documents:,}",
        **{state: f"{count:,}" for state, count in summary.states.items()},
        "documents/s": f"{summary.documents_per_second:,.1f}",
        "workers replaced": str(summary.replaced),
        "settled twice": str(summary.duplicates),
    }
    return "\n".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts.items()
    )


def queues(run: Run) -> str:
    """One line a queue: what it did, how long things waited there and how long the work took."""
    shares = " / ".join(f"p{share * 100:.0f}" for share in QUANTILES)
    head = ["queue", "documents", "most waiting", "most replicas"]
    head += [f"waiting {shares}, s", f"service {shares}, s"]
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
    return _table(head, rows) if rows else "<p>No queue was sampled.</p>"


def nodes(run: Run) -> str:
    """One line a node: the most ready pods of each queue at once, and how long pods were ready there in all."""
    head = ["node", *run.queues, "all, at most", "pod-seconds"]
    rows = []
    for name in run.nodes:
        series = run.pods(name)
        most = [max((pods.get(queue, 0) for _, pods in series), default=0) for queue in run.queues]
        total = max((sum(pods.values()) for _, pods in series), default=0)
        rows.append([name, *map(str, most), str(total), f"{run.pod_seconds(name):,.0f}"])
    return _scroll(_table(head, rows))


def failures(run: Run) -> str:
    """One line a code: how many documents, and what a person can do about it."""
    rows = []
    for code, count in sorted(run.summary.failed.items(), key=lambda item: -item[1]):
        known = PERMANENT_ERRORS.get(code)
        rows.append([code, f"{count:,}", (known.__doc__ or "") if known else ""])
    return _table(["code", "documents", "meaning"], rows, words=2) if rows else "<p>No document failed.</p>"


def events(run: Run) -> str:
    """Faults and replacements at once, the scaling steps folded away."""
    head = ["seconds", "what", "queue", "replicas", "reason"]
    incidents: list[list[str]] = []
    steps: list[list[str]] = []
    for event in run.events:
        change = EN_DASH if event.after is None else f"{event.before or 0} \N{RIGHTWARDS ARROW} {event.after}"
        row = [f"{event.t:.1f}", event.what.value, event.queue or EN_DASH, change, event.message]
        (steps if event.what is What.SCALE else incidents).append(row)
    calm = "<p>No worker died and nothing failed.</p>"
    shown = _scroll(_table(head, incidents, words=4)) if incidents else calm
    return shown + (_folded(f"{len(steps)} scaling steps", _table(head, steps, words=4)) if steps else "")


def method(run: Run) -> str:
    """What the numbers mean, and what they were measured on."""
    meta = run.meta
    times = (
        "Waiting is from being put into a queue to being taken by a worker, service from there to being done "
        "with; p50, p95 and p99 are nearest ranks over all documents that passed through the queue."
    )
    rate = f"Throughput is the mean over a moving window of {window_seconds(run.seconds):.0f} s."
    lines = [
        "The run ends with the settlement of the last document; documents/s counts from the first that was sent.",
        times,
        f"{rate} Queues were sampled {len(run.samples):,} times.",
    ]
    if meta is not None:
        lines += _place(meta)
    text = "".join(f"<p>{escape(line)}</p>" for line in lines)
    policies = meta.policies if meta is not None else {}
    rows = [[queue, name, str(value)] for queue, policy in policies.items() for name, value in policy.items()]
    table = _table(["queue", "setting", "value"], rows)
    return text + (_folded("The scaling policies", table) if rows else "")


def _place(meta: Meta) -> list[str]:
    """What the run took place on, as sentences."""
    lines = []
    if meta.machine is not None:
        machine = meta.machine
        system = f", {machine.system}" if machine.system else ""
        seed = EN_DASH if meta.seed is None else str(meta.seed)
        lines += [
            f"{machine.cores} cores, Python {machine.python}, Celery {machine.celery}{system}.",
            f"{_documents(meta.documents)}, seed {seed}, at most {meta.max_replicas} replicas a queue.",
        ]
    if meta.cluster is not None:
        cluster = meta.cluster
        version = f", Kubernetes {cluster.version}" if cluster.version else ""
        lines.append(
            f"Watched from outside: release {cluster.release}, namespace {cluster.namespace}, "
            f"context {cluster.context}{version}."
        )
        lines += [f"Node {name}: {facts}." for name, facts in cluster.nodes.items()]
    return lines


def _documents(count: int) -> str:
    return "1 document" if count == 1 else f"{count:,} documents"


def _quantiles(values: Sequence[float]) -> str:
    return " / ".join(f"{quantile(values, share):.3f}" for share in QUANTILES) if values else EN_DASH


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], words: int = -1) -> str:
    """An HTML table; column `words` holds sentences, which may wrap."""
    top = "".join(
        f"<th{' class=words' if column == words else ''}>{escape(cell)}</th>"
        for column, cell in enumerate(head)
    )
    body = "".join(
        "<tr>"
        + "".join(
            f"<td{' class=words' if column == words else ''}>{escape(cell)}</td>"
            for column, cell in enumerate(row)
        )
        + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def _scroll(table: str) -> str:
    return f'<div class="scroll">{table}</div>'


def _folded(summary: str, table: str) -> str:
    return f"<details><summary>{escape(summary)}</summary>{_scroll(table)}</details>"
