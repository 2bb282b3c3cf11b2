"""The pieces that the views are made of."""

from collections.abc import Mapping

from rich import box
from rich.table import Table
from rich.text import Text

SPARKLINE = (8, 40)
"""The least and the greatest width of a line of bars; in between it takes what the terminal has left."""


def clock(seconds: float) -> str:
    """Return a time as minutes and seconds, with hours where there are any."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def number(value: int, style: str) -> Text:
    """Return a number, dim where it is 0."""
    return Text(f"{value:,}", style=style if value else "dim")


def failures(errors: Mapping[str, int]) -> Text:
    """Return the line of failures by code; one line always, so that the picture keeps its height."""
    codes = sorted(errors.items(), key=lambda pair: (-pair[1], pair[0]))
    if not codes:
        return Text(" failed  none", style="dim")
    line = Text(" failed  ", no_wrap=True, overflow="ellipsis", style="dim")
    return line.append(" · ".join(f"{code} {count:,}" for code, count in codes), style="not dim red")


def heading(title: str, seconds: float, width: int) -> Table:
    """Return the first line: what is shown, and for how long."""
    line = Table.grid(expand=False)
    elapsed = clock(seconds)
    line.add_column(width=width - len(elapsed) - 2, no_wrap=True, overflow="ellipsis")
    line.add_column(justify="right")
    line.add_row(Text(f" {title}", style="bold"), Text(elapsed, style="dim"))
    return line


def lined_table() -> Table:
    """Return a table without columns yet, with a line below its headings only."""
    return Table(box=box.SIMPLE_HEAD, padding=(0, 0, 0, 1), show_edge=False, header_style="dim")


def queue_table(columns: Mapping[str, int], bars: int) -> Table:
    """Return a table of the queues, still without rows.

    Args:
        columns: Each column's least width by its name; 0 for that of the bars.
        bars: Width of the line of bars.
    """
    table = lined_table()
    for name, minimum in columns.items():
        justify = "left" if name in {"queue", ""} else "right"
        table.add_column(name, justify=justify, min_width=minimum or bars, no_wrap=True)  # type: ignore[arg-type]  # a str here, a Literal there
    return table
