"""The picture of a run's nodes, as PNG: which pods stood where.

Import this module late: matplotlib takes a second or two.
"""

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from app.report.figure import colours, dress, figure_of, legend_above, png, time_axis, unit_of
from app.report.measures import Run
from app.report.theme import LIGHT, Theme

_NODE_INCHES = 1.25
_ONE_COLUMN, _TWO_COLUMNS, _MOST_NODES = 4, 10, 24


def nodes(run: Run, theme: Theme = LIGHT) -> bytes:
    """Ready pods on each node over time, stacked by queue; a small panel a node, all of one height."""
    names, others = _busiest(run)
    columns = min(len(names), 1 if len(names) <= _ONE_COLUMN else 2 if len(names) <= _TWO_COLUMNS else 3) or 1
    rows = -(-len(names) // columns) or 1
    figure = figure_of(theme, _NODE_INCHES * rows + 1.1)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    panels: list[Axes] = [grid[row, column] for row in range(rows) for column in range(columns)]
    unit, _ = unit_of(run)
    legend: dict[str, Artist] = {}
    most = 1
    drawn = {queue for name in names for _, pods in run.pods(name) for queue, count in pods.items() if count}
    for axes, name, title in zip(panels, names, _titles(names, 34 if columns > 1 else 90), strict=False):
        dress(axes, theme)
        series = run.pods(name)
        # The last sample holds to the end of the axis, as the others do until the next.
        times = [t / unit for t, _ in series] + [max(run.seconds, series[-1][0]) / unit]
        below = [0] * len(times)
        for queue, colour in zip(run.queues, colours(theme, len(run.queues)), strict=True):
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
        time_axis(last, run)
        last.set_xlabel("")
        last.tick_params(labelbottom=True)
    below_all = f"{unit_of(run)[1]} since the start"
    if others:
        below_all += f"; the {len(names)} nodes with the most pods, {others} more had fewer"
    figure.supxlabel(below_all, color=theme.ink, fontsize=10)
    figure.supylabel("pods ready", color=theme.ink, fontsize=10)
    legend_above(figure, legend, theme)
    return png(figure)


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
