"""The live view of a run: a table that moves on a terminal, plain lines elsewhere."""

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from app.cli.views.pieces import SPARKLINE, clock, failures, heading, number, queue_table
from app.cli.views.trend import History, Rate
from app.local.fleet import QueueStatus
from app.local.snapshot import RunSnapshot
from app.queues import Queue

PLAIN_SECONDS = 2.0
COLUMNS = {"queue": 5, "waiting": 7, "running": 7, "replicas": 8, "": 0, "docs/s": 7, "done": 7, "oldest": 8}
"""Each column with its least width, wide enough that nothing moves while numbers grow; "" is the sparkline."""
FIXED = sum(COLUMNS.values()) + 2 * len(COLUMNS) - 1
"""What the table takes without the sparkline: a space before each column, and one between two."""


class LiveView:
    """Shows each look at a run; a context manager. The last look stays on the screen.

    Args:
        total: Documents in the run.
        title: What stands above the table.
        console: Where it is drawn; default: standard error, so that standard output stays data.
        moving: Whether a terminal gets the table; False where lines of data appear on the same terminal.
    """

    def __init__(
        self, total: int, title: str, *, console: Console | None = None, moving: bool = True
    ) -> None:
        self.total = total
        self.title = title
        # A folder's name may look like markup.
        self.console = console or Console(stderr=True, highlight=False, markup=False, emoji=False)
        # Drawn at each look and never between: five times a second, and no thread of its own.
        self._live = Live(console=self.console, auto_refresh=False, redirect_stderr=False)
        self._moving = moving and self.console.is_terminal
        self._began = time.monotonic()
        self._replicas: dict[Queue, History] = {}
        self._rates: dict[Queue, Rate] = {}
        self._rate = Rate()
        self._last: RunSnapshot | None = None
        self._finished: float | None = None
        self._said_at = -PLAIN_SECONDS
        self._said = ""

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        if self._moving:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._moving:
            if self._last is not None and kind is not None:
                self._live.update(self._picture(self._last, "stopped"), refresh=True)
            self._live.stop()
        elif self._last is not None:
            self._say(self._last)

    def update(self, progress: RunSnapshot) -> None:
        """Show a look."""
        now = time.monotonic()
        self._last = progress
        finished = self._finished is None and progress.counts.settled >= self.total
        if finished:
            self._finished = now
        self._rate.note(now, progress.counts.settled)
        for queue, status in progress.queues.items():
            self._rates.setdefault(queue, Rate()).note(now, status.depth.done)
            self._replicas.setdefault(queue, History()).note(status.ready)
        if self._moving:
            self._live.update(self._picture(progress, self._left(progress)), refresh=True)
            return
        if finished or now - self._said_at >= PLAIN_SECONDS:
            self._say(progress)
            self._said_at = now

    def _picture(self, progress: RunSnapshot, left: str) -> Group:
        width = min(self.console.width, FIXED + SPARKLINE[1])
        return Group(
            Text(),
            self._heading(width),
            self._table(progress, width),
            self._bar(progress, left, width),
            failures(progress.counts.errors),
        )

    def _heading(self, width: int) -> Table:
        return heading(self.title, time.monotonic() - self._began, width)

    def _table(self, progress: RunSnapshot, width: int) -> Table:
        least, most = SPARKLINE
        bars = max(least, min(most, width - FIXED))
        table = queue_table(COLUMNS, bars)
        for queue, status in progress.queues.items():
            table.add_row(*self._row(queue, status, bars))
        return table

    def _row(self, queue: Queue, status: QueueStatus, bars: int) -> list[Text]:
        depth = status.depth
        moving = status.ready != status.replicas
        replicas = f"{status.ready} → {status.replicas}" if moving else f"{status.ready}"
        return [
            Text(queue.value, style="bold"),
            number(depth.waiting, "yellow"),
            number(depth.inflight, "cyan"),
            Text(replicas, style="bold cyan" if status.ready or moving else "dim"),
            Text(self._replicas[queue].bars(bars), style="cyan"),
            Text(f"{self._rates[queue].per_second:.1f}"),
            number(depth.done, "green"),
            Text(f"{depth.oldest_wait_seconds:.1f} s", style="" if depth.oldest_wait_seconds else "dim"),
        ]

    def _bar(self, progress: RunSnapshot, left: str, width: int) -> Table:
        settled = progress.counts.settled
        total = f"{self.total:,}"
        numbers = f"{settled:>{len(total)},} of {total}"
        # At the end the whole run's, as the last seconds' says nothing any more.
        whole = self.total / (self._finished - self._began) if self._finished else self._rate.per_second
        rate = f"{whole:6.1f} docs/s"
        line = Table.grid(padding=(0, 1))
        bar = ProgressBar(
            total=max(self.total, 1), completed=settled, width=max(10, width - len(numbers) - len(rate) - 22)
        )
        line.add_row("", bar, Text(numbers, style="bold"), Text(rate), Text(f"{left:>14}", style="dim"))
        return line

    def _left(self, progress: RunSnapshot) -> str:
        settled, elapsed = progress.counts.settled, time.monotonic() - self._began
        if settled >= self.total:
            return "all done" if progress.idle else "scaling down"
        if not settled:
            return "starting"
        # The whole run's rate says nothing of a few slow pages at the end; the slowest queue's does.
        times = [elapsed / settled * (self.total - settled)]
        for queue, status in progress.queues.items():
            if (rate := self._rates[queue].per_second) > 0:
                times.append((status.depth.waiting + status.depth.inflight) / rate)
        return f"{clock(max(times) + 0.5)} left"

    def _say(self, progress: RunSnapshot) -> None:
        queues = "  ".join(
            f"{queue.value}: waiting {status.depth.waiting} running {status.depth.inflight} "
            f"replicas {status.ready}/{status.replicas}"
            for queue, status in progress.queues.items()
        )
        failed = progress.counts.failed + progress.counts.quarantined
        rate = f"{self._rate.per_second:.1f} docs/s"
        text = f"done {progress.counts.settled}/{self.total}  failed {failed}  {rate}  {queues}"
        if text != self._said:
            self._said = text
            sys.stderr.write(f"[{time.monotonic() - self._began:6.1f} s]  {text}\n")
            sys.stderr.flush()
