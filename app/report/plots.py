"""The pictures of a run, as PNG: scaling, throughput, latency; for light and for dark pages.

Import this module late: matplotlib takes a second or two.
"""

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from app.report.figure import colours, dress, figure_of, legend_above, png, time_axis, unit_of
from app.report.measures import QUANTILES, Run, quantile, rates, window_seconds
from app.report.theme import LIGHT, Theme
from app.report.timeline import What

_PANEL_INCHES = 2.3
_GRID_POINTS = 600
_LOG_SPREAD = 20.0
"""Times, or counts, that differ by more than this factor are drawn on a logarithmic axis."""
_SHORTEST = 0.001
"""Seconds; what is shorter is drawn here, for a logarithm has no zero."""


def scaling(run: Run, theme: Theme = LIGHT) -> bytes:
    """Work in each queue as an area, replicas asked for and ready as steps, over time; a panel a queue."""
    queues = run.queues or [""]
    figure = figure_of(theme, _PANEL_INCHES * len(queues) + 0.9)
    panels: list[Axes] = list(figure.subplots(len(queues), 1, sharex=True, squeeze=False)[:, 0])
    unit, _ = unit_of(run)
    legend: dict[str, Artist] = {}
    for axes, queue in zip(panels, queues, strict=True):
        dress(axes, theme)
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
        dress(right, theme)
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
    time_axis(panels[-1], run)
    legend_above(figure, legend, theme)
    return png(figure)


def throughput(run: Run, theme: Theme = LIGHT) -> bytes:
    """Documents a second over time, of each queue and in all, over a moving window."""
    figure = figure_of(theme, 3.6)
    axes: Axes = figure.subplots()
    dress(axes, theme)
    unit, _ = unit_of(run)
    window = window_seconds(run.seconds)
    # A window beyond the end lets the last rate fall to zero, as it did.
    grid = [(run.seconds + window) * step / _GRID_POINTS for step in range(_GRID_POINTS + 1)]
    places = [t / unit for t in grid]
    settled = [document.finished for document in run.documents if document.finished is not None]
    total = rates(settled, grid, window)
    axes.fill_between(places, total, color=theme.faint, alpha=0.6, lw=0, label="all settled")
    for queue, colour in zip(run.queues, colours(theme, len(run.queues)), strict=True):
        times = [stage.finished for stage in run.stages(queue)]
        if times:
            axes.plot(places, rates(times, grid, window), color=colour, lw=1.8, label=f"queue {queue}")
    axes.set_ylim(0, max([*total, 0.1]) * 1.1)
    axes.set_ylabel("documents/s")
    axes.set_title(f"throughput, mean of the last {window:.0f} s", loc="left", color=theme.ink)
    handles, labels = axes.get_legend_handles_labels()
    legend_above(figure, dict(zip(labels, handles, strict=True)), theme)
    time_axis(axes, run)
    return png(figure)


def latency(run: Run, theme: Theme = LIGHT) -> bytes:
    """How long documents waited for a worker, and how long the work took, with p50, p95 and p99."""
    figure = figure_of(theme, 3.8)
    panels: list[Axes] = list(figure.subplots(1, 2))
    waiting = {queue: [stage.started - stage.opened for stage in run.stages(queue)] for queue in run.queues}
    service = {queue: [stage.finished - stage.started for stage in run.stages(queue)] for queue in run.queues}
    for axes, title, groups in zip(panels, ("waiting time", "service time"), (waiting, service), strict=True):
        dress(axes, theme)
        _histogram(axes, groups, theme)
        axes.set_title(title, loc="left", color=theme.ink)
        axes.set_ylabel("documents")
    return png(figure)


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
    for (queue, values), colour in zip(groups.items(), colours(theme, len(groups)), strict=True):
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


def _duration(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 1 else f"{seconds * 1_000:.3g} ms"
