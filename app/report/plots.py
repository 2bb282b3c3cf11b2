"""The pictures of any run: scaling, throughput, latency."""

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from app.report.figure import MOST_ROWS, figure_of, legend_above, time_axis, unit_of
from app.report.measures import QUANTILES, Run, quantile, rates, thinned, window_seconds
from app.report.theme import LIGHT
from app.report.timeline import What

_PANEL_INCHES = 2.3
_GRID_POINTS = 600
_LOG_SPREAD = 20.0
"""Times, or counts, that differ by more than this factor get a logarithmic axis."""
_SHORTEST = 0.001
"""Shortest time drawn (s); shorter ones are drawn at it, because a logarithmic axis has no zero."""
_COMMAS = FuncFormatter(lambda value, _: f"{value:,.0f}")


def scaling(run: Run) -> Figure:
    """Draw the work in each queue as areas, its desired and ready replicas as steps: one panel per queue."""
    queues = run.queues or [""]
    figure = figure_of(_PANEL_INCHES * len(queues) + 0.9)
    panels: list[Axes] = list(figure.subplots(len(queues), 1, sharex=True, squeeze=False)[:, 0])
    unit, _ = unit_of(run)
    legend: dict[str, Artist] = {}
    for axes, queue in zip(panels, queues, strict=True):
        rows = thinned(
            [
                (t / unit, one.running, one.waiting + one.running, one.replicas, one.ready)
                for t, one in run.series(queue)
            ],
            MOST_ROWS // len(queues),
        )
        times, running, depth, desired, ready = zip(*rows, strict=True) if rows else ((),) * 5
        axes.fill_between(times, running, depth, color=LIGHT["pale"], alpha=0.55, lw=0, label="waiting")
        axes.fill_between(times, running, color=LIGHT["blue"], lw=0, label="running")
        axes.set_ylim(0, max([*depth, 1]) * 1.08)
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.yaxis.set_major_formatter(_COMMAS)
        axes.set_ylabel("documents")
        axes.set_title(f"queue {queue}" if queue else "nothing was recorded")
        right = axes.twinx()
        right.grid(visible=False)
        colour = LIGHT["replicas"]
        right.step(times, desired, where="post", color=colour, lw=1, ls=(0, (2, 2)), label="replicas desired")
        right.step(times, ready, where="post", color=colour, lw=2, label="replicas ready")
        right.set_ylim(0, max([*desired, *ready, 1]) * 1.15)
        right.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        right.set_ylabel("replicas", color=colour)
        right.tick_params(axis="y", colors=colour)
        _mark_incidents(axes, run, queue, unit)
        for part in (axes, right):
            legend.update(_entries(part))
    time_axis(panels[-1], run)
    legend_above(figure, legend)
    return figure


def throughput(run: Run) -> Figure:
    """Draw documents per second over time, of each queue and of the whole run, over a moving window."""
    figure = figure_of(3.6)
    axes: Axes = figure.subplots()
    unit, _ = unit_of(run)
    window = window_seconds(run.seconds)
    # One window past the end of the run, where the last rate falls to zero.
    grid = [(run.seconds + window) * step / _GRID_POINTS for step in range(_GRID_POINTS + 1)]
    places = [t / unit for t in grid]
    settled = [document.finished for document in run.documents if document.finished is not None]
    total = rates(settled, grid, window)
    axes.fill_between(places, total, color=LIGHT["line"], alpha=0.6, lw=0, label="all settled")
    for number, queue in enumerate(run.queues):
        times = [stage.finished for stage in run.stages(queue)]
        if times:
            axes.plot(places, rates(times, grid, window), color=f"C{number}", lw=1.8, label=f"queue {queue}")
    axes.set_ylim(0, max([*total, 0.1]) * 1.1)
    axes.set_ylabel("documents/s")
    axes.set_title(f"throughput, mean of the last {window:.0f} s")
    legend_above(figure, _entries(axes))
    time_axis(axes, run)
    return figure


def latency(run: Run) -> Figure:
    """Draw histograms of the waiting and service times, with p50, p95 and p99."""
    figure = figure_of(3.8)
    panels: list[Axes] = list(figure.subplots(1, 2))
    waiting = {queue: [stage.started - stage.opened for stage in run.stages(queue)] for queue in run.queues}
    service = {queue: [stage.finished - stage.started for stage in run.stages(queue)] for queue in run.queues}
    for axes, title, groups in zip(panels, ("waiting time", "service time"), (waiting, service), strict=True):
        _histogram(axes, groups)
        axes.set_title(title)
        axes.set_ylabel("documents")
    return figure


def _histogram(axes: Axes, groups: dict[str, list[float]]) -> None:
    everything = [max(value, _SHORTEST) for values in groups.values() for value in values]
    axes.set_xlabel("seconds")
    if not everything:
        axes.text(0.5, 0.5, "no document", ha="center", va="center", transform=axes.transAxes)
        return
    low, high = min(everything), max(everything)
    steps = 36
    if high / low > _LOG_SPREAD:
        axes.set_xscale("log")
        edges = [low * (high / low) ** (step / steps) for step in range(steps + 1)]
    else:
        low, high = 0.0, high * 1.02
        edges = [high * step / steps for step in range(steps + 1)]
    # Rounding of the powers must not push the longest time out of the last bin.
    edges[-1] = max(edges[-1], high)
    edges[0] = min(edges[0], low)
    for number, (queue, values) in enumerate(groups.items()):
        if values:
            axes.hist(
                [max(value, _SHORTEST) for value in values],
                bins=edges,
                histtype="stepfilled",
                color=f"C{number}",
                alpha=0.75,
                label=f"queue {queue}",
            )
    if axes.get_ylim()[1] > _LOG_SPREAD:
        # Thirty scans beside nine hundred texts would be invisible on a linear scale.
        axes.set_yscale("log")
        axes.set_ylim(bottom=0.7)
    else:
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.yaxis.set_major_formatter(_COMMAS)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.minorticks_off()  # invisible here, yet each costs time in the layout
    for share, style in zip(QUANTILES, ("-", "--", ":"), strict=True):
        at = quantile(everything, share)
        duration = f"{at:.3g} s" if at >= 1 else f"{at * 1_000:.3g} ms"
        axes.axvline(at, color=LIGHT["ink"], lw=1.2, ls=style, label=f"p{share * 100:.0f}: {duration}")
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(0, -0.2), ncols=3)


def _mark_incidents(axes: Axes, run: Run, queue: str, unit: float) -> None:
    for what, marker, label in ((What.FAULT, "X", "fault"), (What.REPLACED, "^", "worker replaced")):
        times = [
            event.t / unit for event in run.events if event.what is what and event.queue in {None, queue}
        ]
        if times:
            axes.plot(
                times,
                [axes.get_ylim()[1] * 0.94] * len(times),
                marker=marker,
                ls="none",
                color=LIGHT["ink"],
                markersize=7,
                markeredgecolor=LIGHT["paper"],
                label=label,
            )


def _entries(axes: Axes) -> dict[str, Artist]:
    handles, labels = axes.get_legend_handles_labels()
    return dict(zip(labels, handles, strict=True))
