"""Pieces that the live views share."""

from collections.abc import Mapping

from rich import box
from rich.table import Table
from rich.text import Text

SPARKLINE = (8, 40)
"""The least and the greatest width of a sparkline."""


def clock(seconds: float) -> str:
    """Return a duration as minutes:seconds, or hours:minutes:seconds from one hour on."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def number(value: int, style: str) -> Text:
    """Return a number with thousands separators in `style`; dim if it is 0."""
    return Text(f"{value:,}", style=style if value else "dim")


def failures(errors: Mapping[str, int]) -> Text:
    """Return the failures by code, as one line even if there are none: the picture must keep its height."""
    codes = sorted(errors.items(), key=lambda pair: (-pair[1], pair[0]))
    if not codes:
        return Text(" failed  none", style="dim")
    line = Text(" failed  ", no_wrap=True, overflow="ellipsis", style="dim")
    return line.append(" · ".join(f"{code} {count:,}" for code, count in codes), style="not dim red")


def heading(title: str, seconds: float, width: int) -> Table:
    """Return the first line: the title, and the elapsed time at the right."""
    line = Table.grid(expand=False)
    elapsed = clock(seconds)
    line.add_column(width=width - len(elapsed) - 2, no_wrap=True, overflow="ellipsis")
    line.add_column(justify="right")
    line.add_row(Text(f" {title}", style="bold"), Text(elapsed, style="dim"))
    return line


def lined_table() -> Table:
    """Return an empty table whose only line is the one below its headings."""
    return Table(box=box.SIMPLE_HEAD, padding=(0, 0, 0, 1), show_edge=False, header_style="dim")


def fitted(columns: Mapping[str, int], available: int) -> tuple[int, int]:
    """Return the widths of a queue table and of its sparkline, which takes what the terminal has left."""
    fixed = sum(columns.values()) + 2 * len(columns) - 1  # a space before each column, and one between two
    least, most = SPARKLINE
    return min(available, fixed + most), max(least, min(most, available - fixed))


def queue_table(columns: Mapping[str, int], bars: int) -> Table:
    """Return a table of queues without rows.

    Args:
        columns: The least width of each column by name; 0 for the sparkline.
        bars: Width of the sparkline, in columns.
    """
    table = lined_table()
    for name, minimum in columns.items():
        justify = "left" if name in {"queue", ""} else "right"
        table.add_column(name, justify=justify, min_width=minimum or bars, no_wrap=True)  # type: ignore[arg-type]  # rich wants a Literal
    return table
