"""What the pictures of a run share: their size, their axes, their legend, and how they become PNG."""

from io import BytesIO

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from app.report.measures import Run
from app.report.theme import Theme

WIDTH_INCHES, DPI = 9.0, 170
_MINUTES_FROM = 600.0
"""Runs of this many seconds and more are drawn over minutes."""


def unit_of(run: Run) -> tuple[float, str]:
    """Return the seconds of the unit in which a run's time is drawn, and its name."""
    return (60.0, "minutes") if run.seconds >= _MINUTES_FROM else (1.0, "seconds")


def time_axis(axes: Axes, run: Run) -> None:
    """Make the horizontal axis the run's time."""
    unit, name = unit_of(run)
    axes.set_xlim(0, max(run.seconds, 1.0) * 1.03 / unit)  # the end, back at nothing, is to be seen
    axes.set_xlabel(f"{name} since the start")


def colours(theme: Theme, count: int) -> list[str]:
    """Return a colour for each of `count` series; they come again where there are more."""
    return [theme.series[number % len(theme.series)] for number in range(count)]


def figure_of(theme: Theme, height: float) -> Figure:
    """Return an empty figure of that many inches."""
    return Figure(figsize=(WIDTH_INCHES, height), dpi=DPI, layout="constrained", facecolor=theme.paper)


def dress(axes: Axes, theme: Theme) -> None:
    """Leave of the axes what is needed to read them."""
    axes.set_facecolor("none")
    axes.tick_params(colors=theme.ink, labelsize=9, which="both", length=0)
    axes.xaxis.label.set_color(theme.ink)
    axes.yaxis.label.set_color(theme.ink)
    axes.grid(axis="y", color=theme.faint, lw=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "left", "right"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(theme.faint)


def png(figure: Figure) -> bytes:
    """Draw the figure."""
    buffer = BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)  # savefig would draw twice, once for the layout
    return buffer.getvalue()


def legend_above(figure: Figure, entries: dict[str, Artist], theme: Theme) -> None:
    """Put one line above the panels, where it hides nothing."""
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
