"""Shared parts of the pictures of a run: style, size, time axis, legend, and the conversion to SVG."""

import re
from collections.abc import Callable
from io import StringIO

from matplotlib import rc_context
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.rcsetup import cycler

from app.report.measures import Run
from app.report.theme import LIGHT, SERIES

MOST_ROWS = 1_500
"""Rows of data in a picture, over all panels: some 100 bytes each."""
_WIDTH_INCHES = 9.0
_MINUTES_FROM = 600.0
"""Runs of at least this many seconds have an axis in minutes."""
_STYLE = {
    "axes.axisbelow": True,
    "axes.edgecolor": LIGHT["line"],
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.labelcolor": LIGHT["ink"],
    "axes.prop_cycle": cycler(color=SERIES),
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "figure.facecolor": LIGHT["paper"],
    # Text stays text, laid out in DejaVu Sans, which comes with matplotlib; other fonts are hardly ever wider.
    "font.sans-serif": ["DejaVu Sans", "Verdana"],
    "grid.color": LIGHT["line"],
    "grid.linewidth": 0.6,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "pdf-fleet",
    "text.color": LIGHT["ink"],
    "text.parse_math": False,
    **{
        f"{axis}tick.{key}": value
        for axis in "xy"
        for key, value in {"color": LIGHT["ink"], "labelsize": 9, "major.size": 0, "minor.size": 0}.items()
    },
}
_VARIABLES = {light: f"var(--{name}, {light})" for name, light in LIGHT.items()}


def svg(name: str, draw: Callable[[Run], Figure], run: Run) -> str:
    """Draw a picture as an `<svg>` element in the variables of `theme.CSS`, the same bytes for the same run.

    Args:
        name: the prefix of every id, so that one page can hold several pictures.
        draw: makes the figure in light colours.
        run: the run to draw.
    """
    buffer = StringIO()
    with rc_context(_STYLE):
        # savefig would draw twice, once for the layout.
        no_metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        FigureCanvasSVG(draw(run)).print_svg(buffer, metadata=no_metadata)
    element = buffer.getvalue()
    element = element[element.index("<svg") :]
    # Hundredths of a point are enough: half the bytes.
    element = re.sub(r' d="[^"]*"', lambda path: re.sub(r"(\.\d\d)\d+", r"\1", path[0]), element)
    element = re.sub(r'( id="|href="#|url\(#)', rf"\1{name}-", element)
    return re.sub(r"(?<=: )#[0-9a-f]{6}", lambda colour: _VARIABLES.get(colour[0], colour[0]), element)


def unit_of(run: Run) -> tuple[float, str]:
    """Return the unit of a run's time axis: its length in seconds, and its name."""
    return (60.0, "minutes") if run.seconds >= _MINUTES_FROM else (1.0, "seconds")


def time_axis(axes: Axes, run: Run) -> None:
    """Make the horizontal axis the run's time."""
    unit, name = unit_of(run)
    axes.set_xlim(0, max(run.seconds, 1.0) * 1.03 / unit)  # a margin shows that the run ended at zero
    axes.set_xlabel(f"{name} since the start")


def figure_of(height: float) -> Figure:
    """Return an empty figure of `height` inches."""
    return Figure(figsize=(_WIDTH_INCHES, height), layout="constrained")


def legend_above(figure: Figure, entries: dict[str, Artist]) -> None:
    """Put the legend in one line above the panels, so that it covers no data."""
    if not entries:
        return
    figure.legend(
        handles=list(entries.values()),
        labels=list(entries),
        loc="outside upper center",
        ncols=len(entries),
        columnspacing=1.6,
        handlelength=1.6,
    )
