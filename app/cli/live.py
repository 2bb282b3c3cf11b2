"""The live view of a run: a table that moves on a terminal, plain lines elsewhere."""

import sys
import time
from collections import deque
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from app.run.follow import Progress

BARS = " ▁▂▃▄▅▆▇█"
WIDTH = 24
RATE_SECONDS = 3.0
PLAIN_SECONDS = 2.0


def sparkline(values: deque[int]) -> str:
    """Draw the last `WIDTH` values as bars, scaled to the largest of them."""
    top = max(values, default=0)
    if top == 0:
        return "▁" * len(values)
    return "".join(BARS[max(1, round(value / top * (len(BARS) - 1)))] if value else "▁" for value in values)


class Rate:
    """Counts a second over the last few seconds."""

    def __init__(self) -> None:
        self._points: deque[tuple[float, int]] = deque()

    def update(self, now: float, count: int) -> float:
        """Take note of `count` at `now` and return the present rate, per second."""
        self._points.append((now, count))
        while len(self._points) > 2 and now - self._points[0][0] > RATE_SECONDS:  # noqa: PLR2004  # a rate needs two
            self._points.popleft()
        (then, before) = self._points[0]
        return (count - before) / (now - then) if now > then else 0.0


class LiveView:
    """Shows each look at a run; a context manager.

    Args:
        total: Documents in the run.
        title: What stands above the table.
        console: Where it is drawn; default: standard error, so that standard output stays data.
    """

    def __init__(self, total: int, title: str, *, console: Console | None = None) -> None:
        self.total = total
        self.title = title
        self.console = console or Console(stderr=True, highlight=False)
        self._live = Live(console=self.console, refresh_per_second=8, transient=False)
        self._began = time.monotonic()
        self._said = 0.0
        self._replicas: dict[str, deque[int]] = {}
        self._rates: dict[str, Rate] = {}
        self._rate = Rate()
        self._last_plain = ""

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.console.is_terminal:
            self._live.stop()

    def update(self, progress: Progress) -> None:
        """Show a look."""
        now = time.monotonic()
        overall = self._rate.update(now, progress.counts.settled)
        rates = {}
        for queue, status in progress.queues.items():
            rates[queue.value] = self._rates.setdefault(queue.value, Rate()).update(now, status.depth.done)
            self._replicas.setdefault(queue.value, deque(maxlen=WIDTH)).append(status.ready)
        if self.console.is_terminal:
            self._live.update(self._table(progress, rates, overall))
        elif now - self._said >= PLAIN_SECONDS or progress.counts.settled >= self.total:
            self._say(progress, overall)
            self._said = now

    def _table(self, progress: Progress, rates: dict[str, float], overall: float) -> Group:
        table = Table(title=self.title, title_justify="left", expand=False)
        for name in ("queue", "waiting", "running", "replicas", "", "docs/s", "done", "oldest wait"):
            table.add_column(name, justify="left" if name in {"queue", ""} else "right")
        for queue, status in progress.queues.items():
            depth = status.depth
            replicas = f"{status.ready}" + (f"→{status.replicas}" if status.ready != status.replicas else "")
            table.add_row(
                queue.value,
                f"{depth.waiting:,}",
                f"{depth.inflight:,}",
                f"{replicas:>5}",
                Text(sparkline(self._replicas[queue.value]).ljust(WIDTH), style="cyan"),
                f"{rates[queue.value]:.1f}",
                f"{depth.done:,}",
                f"{depth.oldest_wait_seconds:.1f} s",
            )
        counts = progress.counts
        bar = ProgressBar(total=max(self.total, 1), completed=counts.settled, width=40)
        line = Table.grid(padding=(0, 2))
        line.add_row(
            bar, f"{counts.settled:,} of {self.total:,}", f"{overall:.1f} docs/s", self._left(counts.settled)
        )
        failed = ", ".join(f"{code} {count:,}" for code, count in sorted(counts.errors.items())) or "none"
        return Group(table, line, Text(f"failed: {failed}", style="dim"))

    def _left(self, settled: int) -> str:
        elapsed = time.monotonic() - self._began
        if settled >= self.total:
            return f"done after {elapsed:.0f} s"
        if not settled:
            return "starting"
        return f"about {elapsed / settled * (self.total - settled):.0f} s left"

    def _say(self, progress: Progress, overall: float) -> None:
        queues = "  ".join(
            f"{queue.value}: waiting {status.depth.waiting} running {status.depth.inflight} "
            f"replicas {status.ready}/{status.replicas}"
            for queue, status in progress.queues.items()
        )
        failed = progress.counts.failed + progress.counts.quarantined
        text = f"done {progress.counts.settled}/{self.total}  failed {failed}  {overall:.1f} docs/s  {queues}"
        if text != self._last_plain:
            self._last_plain = text
            sys.stderr.write(f"[{time.monotonic() - self._began:6.1f} s]  {text}\n")
            sys.stderr.flush()
