"""The pictures of a run, as PNG: scaling, throughput, latency, nodes; for light and for dark pages.

Import this module late: matplotlib takes a second or two.
"""

from io import BytesIO

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from app.scaling.measures import QUANTILES, Run, quantile, rates, window_seconds
from app.scaling.theme import LIGHT, Theme
from app.scaling.timeline import What

WIDTH_INCHES, DPI = 9.0, 170
_PANEL_INCHES = 2.3
_NODE_INCHES = 1.25
_ONE_COLUMN, _TWO_COLUMNS, _MOST_NODES = 4, 10, 24
_GRID_POINTS = 600
_MINUTES_FROM = 600.0
"""Runs of this many seconds and more are drawn over minutes."""
_LOG_SPREAD = 20.0
"""Times, or counts, that differ by more than this factor are drawn on a logarithmic axis."""
_SHORTEST = 0.001
"""Seconds; what is shorter is drawn here, for a logarithm has no zero."""


def scaling(run: Run, theme: Theme = LIGHT) -> bytes:
    """Work in each queue as an area, replicas asked for and ready as steps, over time; a panel a queue."""
    queues = run.queues or [""]
    figure = _figure(theme, _PANEL_INCHES * len(queues) + 0.9)
    panels: list[Axes] = list(figure.subplots(len(queues), 1, sharex=True, squeeze=False)[:, 0])
    unit, _ = _unit(run)
    legend: dict[str, Artist] = {}
    for axes, queue in zip(panels, queues, strict=True):
        _dress(axes, theme)
        series = run.series(queue)
        times = [t / unit for t, _ in series]
        running = [sample.running for _, sample in series]
        depth = [sample.waiting + sample.running for _, sample in series]
        axes.fill_between(times, running, depth, color=theme.depth, alpha=0.55, lw=0, label="waiting")
        axes.fill_between(times, running, color=theme.running, lw=0, label="running")
        axes.set_ylim(0, max([*depth, 1]) * 1.08)
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.set_ylabel("documents")
        axes.set_title(f"queue {queue}" if queue else "nothing was recorded", loc="left", color=theme.ink)
        right = axes.twinx()
        _dress(right, theme)
        right.grid(visible=False)
        asked = [sample.replicas for _, sample in series]
        ready = [sample.ready for _, sample in series]
        right.step(
            times, asked, where="post", color=theme.replicas, lw=1, ls=(0, (2, 2)), label="replicas asked"
        )
        right.step(times, ready, where="post", color=theme.replicas, lw=2, label="replicas ready")
        right.set_ylim(0, max([*asked, *ready, 1]) * 1.15)
        right.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        right.set_ylabel("replicas", color=theme.replicas)
        right.tick_params(axis="y", colors=theme.replicas)
        _mark_incidents(axes, run, queue, unit, theme)
        for part in (axes, right):
            legend.update(dict(zip(*reversed(part.get_legend_handles_labels()), strict=True)))
    _time_axis(panels[-1], run)
    _legend(figure, legend, theme)
    return _png(figure)


def nodes(run: Run, theme: Theme = LIGHT) -> bytes:
    """Ready pods on each node over time, stacked by queue; a small panel a node, all of one height."""
    names, others = _busiest(run)
    columns = min(len(names), 1 if len(names) <= _ONE_COLUMN else 2 if len(names) <= _TWO_COLUMNS else 3) or 1
    rows = -(-len(names) // columns) or 1
    figure = _figure(theme, _NODE_INCHES * rows + 1.1)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    panels: list[Axes] = [grid[row, column] for row in range(rows) for column in range(columns)]
    unit, _ = _unit(run)
    legend: dict[str, Artist] = {}
    most = 1
    drawn = {queue for name in names for _, pods in run.pods(name) for queue, count in pods.items() if count}
    for axes, name, title in zip(panels, names, _titles(names, 34 if columns > 1 else 90), strict=False):
        _dress(axes, theme)
        series = run.pods(name)
        # The last sample holds to the end of the axis, as the others do until the next.
        times = [t / unit for t, _ in series] + [max(run.seconds, series[-1][0]) / unit]
        below = [0] * len(times)
        for queue, colour in zip(run.queues, _cycle(theme, len(run.queues)), strict=True):
            counts = [pods.get(queue, 0) for _, pods in series]
            above = [low + count for low, count in zip(below, [*counts, counts[-1]], strict=True)]
            if queue in drawn:
                axes.fill_between(
                    times, below, above, step="post", color=colour, lw=0, alpha=0.85, label=f"queue {queue}"
                )
            below = above
        most = max(most, *below)
        axes.set_title(title, loc="left", color=theme.ink, fontsize=9.5)
        handles, labels = axes.get_legend_handles_labels()
        legend.update(zip(labels, handles, strict=True))
    panels[0].set_ylim(0, most * 1.15)
    panels[0].yaxis.set_major_locator(MaxNLocator(3, integer=True))
    for axes in panels[len(names) :]:
        axes.set_visible(False)
    for column in range(min(columns, len(names))):
        last = panels[max(place for place in range(len(names)) if place % columns == column)]
        _time_axis(last, run)
        last.set_xlabel("")
        last.tick_params(labelbottom=True)
    below_all = f"{_unit(run)[1]} since the start"
    if others:
        below_all += f"; the {len(names)} nodes with the most pods, {others} more had fewer"
    figure.supxlabel(below_all, color=theme.ink, fontsize=10)
    figure.supylabel("pods ready", color=theme.ink, fontsize=10)
    _legend(figure, legend, theme)
    return _png(figure)


def _busiest(run: Run) -> tuple[list[str], int]:
    """The nodes to be drawn, in their usual order, and how many are left out."""
    names = run.nodes
    if len(names) <= _MOST_NODES:
        return names, 0
    ordered = sorted(names, key=lambda name: -run.pod_seconds(name))
    return [name for name in names if name in ordered[:_MOST_NODES]], len(names) - _MOST_NODES


def _titles(names: list[str], length: int) -> list[str]:
    """Names of nodes without the domain that all have, and cut in the middle where they are still too long."""
    domains = {name.partition(".")[2] for name in names}
    short = [name.partition(".")[0] for name in names] if len(domains) == 1 else names
    half = (length - 1) // 2
    return [
        name if len(name) <= length else f"{name[:half]}\N{HORIZONTAL ELLIPSIS}{name[-half:]}"
        for name in short
    ]


def throughput(run: Run, theme: Theme = LIGHT) -> bytes:
    """Documents a second over time, of each queue and in all, over a moving window."""
    figure = _figure(theme, 3.6)
    axes: Axes = figure.subplots()
    _dress(axes, theme)
    unit, _ = _unit(run)
    window = window_seconds(run.seconds)
    # A window beyond the end lets the last rate fall to zero, as it did.
    grid = [(run.seconds + window) * step / _GRID_POINTS for step in range(_GRID_POINTS + 1)]
    places = [t / unit for t in grid]
    settled = [document.finished for document in run.documents if document.finished is not None]
    total = rates(settled, grid, window)
    axes.fill_between(places, total, color=theme.faint, alpha=0.6, lw=0, label="all settled")
    for queue, colour in zip(run.queues, _cycle(theme, len(run.queues)), strict=True):
        times = [stage.finished for stage in run.stages(queue)]
        if times:
            axes.plot(places, rates(times, grid, window), color=colour, lw=1.8, label=f"queue {queue}")
    axes.set_ylim(0, max([*total, 0.1]) * 1.1)
    axes.set_ylabel("documents/s")
    axes.set_title(f"throughput, mean of the last {window:.0f} s", loc="left", color=theme.ink)
    handles, labels = axes.get_legend_handles_labels()
    _legend(figure, dict(zip(labels, handles, strict=True)), theme)
    _time_axis(axes, run)
    return _png(figure)


def latency(run: Run, theme: Theme = LIGHT) -> bytes:
    """How long documents waited for a worker, and how long the work took, with p50, p95 and p99."""
    figure = _figure(theme, 3.8)
    panels: list[Axes] = list(figure.subplots(1, 2))
    waiting = {queue: [stage.started - stage.opened for stage in run.stages(queue)] for queue in run.queues}
    service = {queue: [stage.finished - stage.started for stage in run.stages(queue)] for queue in run.queues}
    for axes, title, groups in zip(panels, ("waiting time", "service time"), (waiting, service), strict=True):
        _dress(axes, theme)
        _histogram(axes, groups, theme)
        axes.set_title(title, loc="left", color=theme.ink)
        axes.set_ylabel("documents")
    return _png(figure)


def _histogram(axes: Axes, groups: dict[str, list[float]], theme: Theme) -> None:
    everything = [max(value, _SHORTEST) for values in groups.values() for value in values]
    axes.set_xlabel("seconds")
    if not everything:
        axes.text(
            0.5, 0.5, "no document", ha="center", va="center", transform=axes.transAxes, color=theme.ink
        )
        return
    low, high = min(everything), max(everything)
    logarithmic = high / low > _LOG_SPREAD
    steps = 36
    if logarithmic:
        axes.set_xscale("log")
        edges = [low * (high / low) ** (step / steps) for step in range(steps + 1)]
    else:
        low, high = 0.0, high * 1.02
        edges = [high * step / steps for step in range(steps + 1)]
    # The edges come from powers: rounding must not push the longest time out of the last bin.
    edges[-1] = max(edges[-1], high)
    edges[0] = min(edges[0], low)
    for (queue, values), colour in zip(groups.items(), _cycle(theme, len(groups)), strict=True):
        if values:
            clipped = [max(value, _SHORTEST) for value in values]
            axes.hist(
                clipped, bins=edges, histtype="stepfilled", color=colour, alpha=0.75, label=f"queue {queue}"
            )
    if axes.get_ylim()[1] > _LOG_SPREAD:
        # Thirty scans beside nine hundred texts would be invisible on a plain scale.
        axes.set_yscale("log")
        axes.set_ylim(bottom=0.7)
    else:
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.minorticks_off()  # of no length and without words, but each is laid out
    for share, style in zip(QUANTILES, ("-", "--", ":"), strict=True):
        at = quantile(everything, share)
        axes.axvline(at, color=theme.ink, lw=1.2, ls=style, label=f"p{share * 100:.0f}  {_duration(at)}")
    axes.legend(
        frameon=False, labelcolor=theme.ink, fontsize=8, loc="upper left", bbox_to_anchor=(0, -0.2), ncols=3
    )


def _mark_incidents(axes: Axes, run: Run, queue: str, unit: float, theme: Theme) -> None:
    incidents = [
        event for event in run.events if event.what is not What.SCALE and event.queue in {None, queue}
    ]
    for what, marker in ((What.FAULT, "X"), (What.REPLACED, "^")):
        times = [event.t / unit for event in incidents if event.what is what]
        if times:
            axes.plot(
                times,
                [axes.get_ylim()[1] * 0.94] * len(times),
                marker=marker,
                ls="none",
                color=theme.ink,
                markersize=7,
                markeredgecolor=theme.paper,
                label={"fault": "fault", "replaced": "worker replaced"}[what],
            )


def _legend(figure: Figure, entries: dict[str, Artist], theme: Theme) -> None:
    """One line above the panels, where it hides nothing."""
    figure.legend(
        handles=list(entries.values()),
        labels=list(entries),
        loc="outside upper center",
        ncols=max(len(entries), 1),
        frameon=False,
        fontsize=9,
        labelcolor=theme.ink,
        columnspacing=1.6,
        handlelength=1.6,
    )


def _duration(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 1 else f"{seconds * 1_000:.3g} ms"


def _unit(run: Run) -> tuple[float, str]:
    return (60.0, "minutes") if run.seconds >= _MINUTES_FROM else (1.0, "seconds")


def _time_axis(axes: Axes, run: Run) -> None:
    unit, name = _unit(run)
    axes.set_xlim(0, max(run.seconds, 1.0) * 1.03 / unit)  # the end, back at nothing, is to be seen
    axes.set_xlabel(f"{name} since the start")


def _cycle(theme: Theme, count: int) -> list[str]:
    return [theme.series[number % len(theme.series)] for number in range(count)]


def _figure(theme: Theme, height: float) -> Figure:
    return Figure(figsize=(WIDTH_INCHES, height), dpi=DPI, layout="constrained", facecolor=theme.paper)


def _dress(axes: Axes, theme: Theme) -> None:
    axes.set_facecolor("none")
    axes.tick_params(colors=theme.ink, labelsize=9, which="both", length=0)
    axes.xaxis.label.set_color(theme.ink)
    axes.yaxis.label.set_color(theme.ink)
    axes.grid(axis="y", color=theme.faint, lw=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "left", "right"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(theme.faint)


def _png(figure: Figure) -> bytes:
    buffer = BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)  # savefig would draw twice, once for the layout
    return buffer.getvalue()
