"""The live view of a local run: a table redrawn in place on a terminal, otherwise plain lines."""

import sys
import time
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from app.cli.views.pieces import clock, failures, fitted, heading, number, queue_table
from app.cli.views.trend import History, Rate
from app.local.snapshot import RunSnapshot
from app.queues import Queue

PLAIN_SECONDS = 2.0
COLUMNS = {"queue": 5, "waiting": 7, "running": 7, "replicas": 8, "": 0, "docs/s": 7, "done": 7, "oldest": 8}
"""The least width of each column: no column moves while numbers grow. "" is the sparkline."""


class LiveView:
    """Shows the snapshots of a run; a context manager that leaves the last one on the screen.

    Args:
        total: Number of documents in the run.
        title: The line above the table.
        console: The console to draw on; by default standard error, as standard output is for data.
        moving: Whether a terminal gets the table; False if lines of data appear on the same terminal.
    """

    def __init__(
        self, total: int, title: str, *, console: Console | None = None, moving: bool = True
    ) -> None:
        self.total = total
        self.title = title
        # No markup: a folder's name may look like it.
        self.console = console or Console(stderr=True, highlight=False, markup=False, emoji=False)
        # Drawn at each snapshot, five times a second; no refresh thread of its own.
        self._live = Live(console=self.console, auto_refresh=False, redirect_stderr=False)
        self._moving = moving and self.console.is_terminal
        self._began = time.monotonic()
        self._replicas: dict[Queue, History] = {}
        self._rates: dict[Queue, Rate] = {}
        self._rate = Rate()
        self._last: RunSnapshot | None = None
        self._finished: float | None = None
        self._printed_at = -PLAIN_SECONDS
        self._printed = ""

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        if self._moving:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._moving:
            if self._last is not None:
                state = "all done" if kind is None else "stopped"
                self._live.update(self._picture(self._last, state), refresh=True)
            self._live.stop()
        elif self._last is not None:
            self._print(self._last)

    def update(self, snapshot: RunSnapshot) -> None:
        """Show a snapshot."""
        now = time.monotonic()
        self._last = snapshot
        finished = self._finished is None and snapshot.counts.settled >= self.total
        if finished:
            self._finished = now
        self._rate.add(now, snapshot.counts.settled)
        for queue, status in snapshot.queues.items():
            self._rates.setdefault(queue, Rate()).add(now, status.depth.done)
            self._replicas.setdefault(queue, History()).add(status.ready)
        if self._moving:
            self._live.update(self._picture(snapshot, self._left(snapshot)), refresh=True)
            return
        if finished or now - self._printed_at >= PLAIN_SECONDS:
            self._print(snapshot)
            self._printed_at = now

    def note(self, line: str) -> None:
        """Print a sentence; on a terminal it stays above the table."""
        if self._moving:
            self.console.print(line)
        else:
            self._line(line)

    def _picture(self, snapshot: RunSnapshot, left: str) -> Group:
        width, bars = fitted(COLUMNS, self.console.width)
        return Group(
            Text(),
            heading(self.title, time.monotonic() - self._began, width),
            self._table(snapshot, bars),
            self._bar(snapshot, left, width),
            failures(snapshot.counts.errors),
        )

    def _table(self, snapshot: RunSnapshot, bars: int) -> Table:
        table = queue_table(COLUMNS, bars)
        for queue, status in snapshot.queues.items():
            depth = status.depth
            moving = status.ready != status.replicas
            replicas = f"{status.ready} → {status.replicas}" if moving else f"{status.ready}"
            table.add_row(
                Text(queue.value, style="bold"),
                number(depth.waiting, "yellow"),
                number(depth.running, "cyan"),
                Text(replicas, style="bold cyan" if status.ready or moving else "dim"),
                Text(self._replicas[queue].bars(bars), style="cyan"),
                Text(f"{self._rates[queue].per_second:.1f}"),
                number(depth.done, "green"),
                Text(f"{depth.oldest_wait_seconds:.1f} s", style="" if depth.oldest_wait_seconds else "dim"),
            )
        return table

    def _bar(self, snapshot: RunSnapshot, left: str, width: int) -> Table:
        settled = snapshot.counts.settled
        total = f"{self.total:,}"
        numbers = f"{settled:>{len(total)},} of {total}"
        # At the end, the rate of the whole run: that of the last seconds covers the scale-down only.
        whole = self.total / (self._finished - self._began) if self._finished else self._rate.per_second
        rate = f"{whole:6.1f} docs/s"
        line = Table.grid(padding=(0, 1))
        bar = ProgressBar(
            total=max(self.total, 1), completed=settled, width=max(10, width - len(numbers) - len(rate) - 22)
        )
        line.add_row("", bar, Text(numbers, style="bold"), Text(rate), Text(f"{left:>14}", style="dim"))
        return line

    def _left(self, snapshot: RunSnapshot) -> str:
        settled, elapsed = snapshot.counts.settled, time.monotonic() - self._began
        if settled >= self.total:
            return "all done" if snapshot.idle else "scaling down"
        if not settled:
            return "starting"
        # Also the slowest queue: the rate of the whole run hides a few slow pages at the end.
        times = [elapsed / settled * (self.total - settled)]
        for queue, status in snapshot.queues.items():
            if (rate := self._rates[queue].per_second) > 0:
                times.append((status.depth.waiting + status.depth.running) / rate)
        return f"{clock(max(times) + 0.5)} left"

    def _print(self, snapshot: RunSnapshot) -> None:
        queues = "  ".join(
            f"{queue.value}: waiting {status.depth.waiting} running {status.depth.running} "
            f"replicas {status.ready}/{status.replicas}"
            for queue, status in snapshot.queues.items()
        )
        failed = snapshot.counts.failed + snapshot.counts.quarantined
        rate = f"{self._rate.per_second:.1f} docs/s"
        text = f"done {snapshot.counts.settled}/{self.total}  failed {failed}  {rate}  {queues}"
        if text != self._printed:
            self._printed = text
            self._line(text)

    def _line(self, text: str) -> None:
        sys.stderr.write(f"[{time.monotonic() - self._began:6.1f} s]  {text}\n")
        sys.stderr.flush()
