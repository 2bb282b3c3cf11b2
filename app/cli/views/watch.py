"""What `fleet watch` shows: tables that move on a terminal, plain lines elsewhere."""

import sys
from collections import deque
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from app.cli.views.pieces import SPARKLINE, clock, failures, heading, lined_table, number, queue_table
from app.cli.views.show import plain
from app.cli.views.trend import History, Rate
from app.client.news import QueueNews
from app.report.timeline import Event, What

if TYPE_CHECKING:
    from app.cluster.watcher import FleetSnapshot

PLAIN_SECONDS = 5.0
MOST_EVENTS = 8
MOST_NODES = 16
COLUMNS = {
    "queue": 7,
    "asked": 5,
    "ready": 5,
    "total": 5,
    "": 0,
    "waiting": 7,
    "running": 7,
    "docs/s": 6,
    "done": 7,
}
"""Each column with its least width; "" is the sparkline of the ready replicas."""
FIXED = sum(COLUMNS.values()) + 2 * len(COLUMNS) - 1
NO_NEWS = QueueNews(waiting=0, running=0, done=0)
STYLES = {What.SCALE: "cyan", What.REPLACED: "yellow", What.FAULT: "red", What.RECOVERED: "green"}
STALE_SECONDS = 5.0


class WatchView:
    """Shows each look at a fleet on a cluster; a context manager. The last look stays on the screen.

    Args:
        title: What stands above the tables.
        console: Where it is drawn; default: standard output.
    """

    def __init__(self, title: str, *, console: Console | None = None) -> None:
        self.title = title
        self.console = console or Console(highlight=False, markup=False, emoji=False)
        self._live = Live(
            console=self.console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
        )
        self._moving = self.console.is_terminal
        self._ready: dict[str, History] = {}
        self._rates: dict[str, Rate] = {}
        self._events: deque[Event] = deque(maxlen=MOST_EVENTS)
        self._last: FleetSnapshot | None = None
        self._said_at = -PLAIN_SECONDS
        self._said = ""

    def __enter__(self) -> Self:
        if self._moving:
            self._live.start()
        else:
            self._write(self.title)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._moving:
            self._live.stop()
        elif self._last is not None and kind is None:
            self._say(self._last)

    def update(self, look: "FleetSnapshot") -> None:
        """Show a look."""
        self._last = look
        self._events.extend(look.events)
        for name, replicas in look.replicas.items():
            self._ready.setdefault(name, History()).note(replicas.ready)
        if look.news is not None and look.fresh:
            for name, queue in look.news.queues.items():
                self._rates.setdefault(name, Rate()).note(look.news.time, queue.done)
        if self._moving:
            self._live.update(self.picture(look), refresh=True)
            return
        for event in look.events:
            self._write(f"[{event.t:7.1f} s]  {_sentence(event)}")
        if look.t - self._said_at >= PLAIN_SECONDS:
            self._said_at = look.t
            self._say(look)

    def picture(self, look: "FleetSnapshot") -> Group:
        """Return what is drawn of a look."""
        width = min(self.console.width, FIXED + SPARKLINE[1])
        parts: list[RenderableType] = [
            Text(),
            self._heading(look, width),
            self._queues(look, width),
            self._settled(look),
        ]
        if any(look.nodes.values()) or len(look.nodes) > 1:
            parts += [Text(), self._nodes(look)]
        parts += [Text(), *self._happened(look, width)]
        return Group(*parts)

    def _heading(self, look: "FleetSnapshot", width: int) -> Table:
        return heading(self.title, look.t, width)

    def _queues(self, look: "FleetSnapshot", width: int) -> Table:
        least, most = SPARKLINE
        bars = max(least, min(most, width - FIXED))
        table = queue_table(COLUMNS, bars)
        told: Mapping[str, QueueNews] = look.news.queues if look.news else {}
        for name, replicas in look.replicas.items():
            queue = told.get(name)
            moving = not replicas.desired == replicas.ready == replicas.total
            depth = queue or NO_NEWS
            unknown = queue is None
            table.add_row(
                Text(plain(name), style="bold"),
                number(replicas.desired, "cyan"),
                Text(str(replicas.ready), style="bold cyan" if replicas.ready or moving else "dim"),
                number(replicas.total, "cyan"),
                Text(self._ready[name].bars(bars), style="cyan"),
                Text("?") if unknown else number(depth.waiting, "yellow"),
                Text("?") if unknown else number(depth.running, "cyan"),
                Text(f"{self._rates[name].per_second:.1f}" if name in self._rates else "?"),
                Text("?") if unknown else number(depth.done, "green"),
            )
        return table

    def _settled(self, look: "FleetSnapshot") -> Text:
        line = failures(look.failed)
        still = f", {look.news.open:,} open" if look.news else ""
        line = Text(f" settled {look.settled:,}{still}  ·", no_wrap=True, overflow="ellipsis").append_text(
            line
        )
        if look.news is not None and look.news_age > STALE_SECONDS:
            line.append(f"  · {look.news_age:.0f} s old", style="not dim red")
        return line

    def _nodes(self, look: "FleetSnapshot") -> Table:
        queues = list(look.replicas)
        table = lined_table()
        table.add_column("node", min_width=7, no_wrap=True, overflow="ellipsis", max_width=40)
        for name in queues:
            table.add_column(plain(name), justify="right", min_width=5)
        table.add_column("pods ready", justify="right")
        # The busiest, where there are many, in their usual order.
        busiest = sorted(look.nodes, key=lambda name: -sum(look.nodes[name].values()))[:MOST_NODES]
        for name, pods in look.nodes.items():
            if name in busiest:
                cells = [number(pods.get(queue, 0), "cyan") for queue in queues]
                table.add_row(Text(plain(name)), *cells, number(sum(pods.values()), "bold cyan"))
        if len(look.nodes) > len(busiest):
            table.add_row(Text(f"and {len(look.nodes) - len(busiest)} more", style="dim"))
        return table

    def _happened(self, look: "FleetSnapshot", width: int) -> list[Text]:
        """Return the last events, then what is broken; as many lines always, so that the height stays."""
        lines = []
        for event in self._events:
            line = Text(f" {clock(event.t):>7}  ", style="dim", no_wrap=True, overflow="ellipsis")
            lines.append(line.append(_sentence(event), style=f"not dim {STYLES.get(event.what, '')}"))
        lines += [Text("")] * (MOST_EVENTS - len(lines))
        broken = " ".join(look.broken)
        lines.append(Text(f" {plain(broken)}", style="red", no_wrap=True, overflow="ellipsis"))
        for line in lines:
            line.truncate(width, overflow="ellipsis")
        return lines

    def _say(self, look: "FleetSnapshot") -> None:
        told: Mapping[str, QueueNews] = look.news.queues if look.news else {}
        queues = []
        for name, replicas in look.replicas.items():
            queue = told.get(name)
            depth = f"waiting {queue.waiting} running {queue.running}" if queue else "waiting ? running ?"
            replica = f"replicas {replicas.ready}/{replicas.desired}"
            if replicas.total != replicas.desired:
                replica += f" of {replicas.total}"
            queues.append(f"{name}: {replica} {depth}")
        places = ", ".join(
            f"{node} {sum(pods.values())}" for node, pods in look.nodes.items() if any(pods.values())
        )
        still = str(look.news.open) if look.news else "?"
        failed = sum(look.failed.values())
        text = f"open {still}  settled {look.settled}  failed {failed}  {'  '.join(queues)}"
        text += f"  on {places}" if places else ""
        text += f"  {' '.join(look.broken)}" if look.broken else ""
        if text != self._said:
            self._said = text
            self._write(f"[{look.t:7.1f} s]  {text}")

    def _write(self, line: str) -> None:
        sys.stdout.write(plain(line) + "\n")
        sys.stdout.flush()


def _sentence(event: Event) -> str:
    """Return an event in words."""
    if event.what is What.SCALE:
        arrow = f"{event.before} \N{RIGHTWARDS ARROW} {event.after}"
        return plain(f"{event.queue}: {arrow} replicas asked ({event.message})")
    return plain(f"{event.queue}: {event.message}" if event.queue else event.message)
