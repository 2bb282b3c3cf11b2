"""The picture of a cluster's nodes: ready pods on each, over time."""

from itertools import accumulate

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from app.report.figure import MOST_ROWS, figure_of, legend_above, time_axis, unit_of
from app.report.measures import Run, thinned

_NODE_INCHES = 1.25
_ONE_COLUMN, _TWO_COLUMNS, _MOST_NODES = 4, 10, 24


def nodes(run: Run) -> Figure:
    """Draw the ready pods of each node, stacked by queue: one panel per node, all with the same scale."""
    names, others = _busiest(run)
    columns = min(len(names), 1 if len(names) <= _ONE_COLUMN else 2 if len(names) <= _TWO_COLUMNS else 3) or 1
    rows = -(-len(names) // columns) or 1
    figure = figure_of(_NODE_INCHES * rows + 1.1)
    panels: list[Axes] = list(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat)
    unit, unit_name = unit_of(run)
    legend: dict[str, Artist] = {}
    most = 1.0
    queues = run.queues  # computed from the whole run: not again for each sample
    drawn = {queue for name in names for _, pods in run.pods(name) for queue, count in pods.items() if count}
    for axes, name, title in zip(panels, names, _titles(names, 34 if columns > 1 else 90), strict=False):
        series = [
            (t / unit, *accumulate(pods.get(queue, 0) for queue in queues)) for t, pods in run.pods(name)
        ]
        # The last sample holds up to the end of the axis, as the others do up to the next.
        end = (max(run.seconds / unit, series[-1][0]), *series[-1][1:])
        times, *tops = zip(*thinned([*series, end], MOST_ROWS // len(names)), strict=True)
        below: tuple[float, ...] = (0,) * len(times)
        for number, (queue, above) in enumerate(zip(queues, tops, strict=True)):
            if queue in drawn:
                legend[f"queue {queue}"] = axes.fill_between(
                    times, below, above, step="post", color=f"C{number}", lw=0, alpha=0.85
                )
            below = above
        most = max(most, *below)
        axes.set_title(title, fontsize=9.5)
    panels[0].set_ylim(0, most * 1.15)
    panels[0].yaxis.set_major_locator(MaxNLocator(3, integer=True))
    for axes in panels[len(names) :]:
        axes.set_visible(False)
    for column in range(min(columns, len(names))):
        last = panels[max(place for place in range(len(names)) if place % columns == column)]
        time_axis(last, run)
        last.set_xlabel("")
        last.tick_params(labelbottom=True)
    label = f"{unit_name} since the start"
    if others:
        label += f"; the {len(names)} nodes with the most pods, {others} more had fewer"
    figure.supxlabel(label, fontsize=10)
    figure.supylabel("pods ready", fontsize=10)
    legend_above(figure, legend)
    return figure


def _busiest(run: Run) -> tuple[list[str], int]:
    """Return the nodes to draw, in the order of the run, and how many are left out."""
    names = run.nodes
    if len(names) <= _MOST_NODES:
        return names, 0
    ordered = sorted(names, key=lambda name: -run.pod_seconds(name))
    return [name for name in names if name in ordered[:_MOST_NODES]], len(names) - _MOST_NODES


def _titles(names: list[str], length: int) -> list[str]:
    """Return the nodes' names without a domain that all share, shortened in the middle to `length`."""
    domains = {name.partition(".")[2] for name in names}
    short = [name.partition(".")[0] for name in names] if len(domains) == 1 else names
    half = (length - 1) // 2
    return [
        name if len(name) <= length else f"{name[:half]}\N{HORIZONTAL ELLIPSIS}{name[-half:]}"
        for name in short
    ]
