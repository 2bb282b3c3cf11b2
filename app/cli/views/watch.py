"""The live view of `fleet watch`: tables redrawn in place on a terminal, otherwise plain lines."""

import sys
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from app.cli.views.pieces import clock, failures, fitted, heading, lined_table, number, queue_table
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
    "desired": 7,
    "ready": 5,
    "total": 5,
    "": 0,
    "waiting": 7,
    "running": 7,
    "docs/s": 6,
    "done": 7,
}
"""The least width of each column; "" is the sparkline of the ready replicas."""
STYLES = {What.SCALE: "cyan", What.REPLACED: "yellow", What.FAULT: "red", What.RECOVERED: "green"}
STALE_SECONDS = 5.0


class WatchView:
    """Shows the snapshots of a fleet on Kubernetes; a context manager that leaves the last one on the screen.

    Args:
        title: The line above the tables.
        console: The console to draw on; by default standard output.
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
        self._printed_at = -PLAIN_SECONDS
        self._printed = ""

    def __enter__(self) -> Self:
        if self._moving:
            self._live.start()
        else:
            self._write(self.title)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._moving:
            self._live.stop()
        elif self._last is not None and kind is None:
            self._print(self._last)

    def update(self, snapshot: "FleetSnapshot") -> None:
        """Show a snapshot and its events."""
        self._last = snapshot
        self._events.extend(snapshot.events)
        for name, replicas in snapshot.replicas.items():
            self._ready.setdefault(name, History()).add(replicas.ready)
        if snapshot.news is not None and snapshot.fresh:
            for name, queue in snapshot.news.queues.items():
                self._rates.setdefault(name, Rate()).add(snapshot.news.time, queue.done)
        if self._moving:
            self._live.update(self.picture(snapshot), refresh=True)
            return
        for event in snapshot.events:
            self._write(f"[{event.t:7.1f} s]  {_as_text(event)}")
        if snapshot.t - self._printed_at >= PLAIN_SECONDS:
            self._printed_at = snapshot.t
            self._print(snapshot)

    def picture(self, snapshot: "FleetSnapshot") -> Group:
        """Return a snapshot as it is drawn."""
        width, bars = fitted(COLUMNS, self.console.width)
        parts: list[RenderableType] = [
            Text(),
            heading(self.title, snapshot.t, width),
            self._queues(snapshot, bars),
            self._counts(snapshot),
        ]
        if any(snapshot.nodes.values()) or len(snapshot.nodes) > 1:
            parts += [Text(), self._nodes(snapshot)]
        parts += [Text(), *self._latest(snapshot, width)]
        return Group(*parts)

    def _queues(self, snapshot: "FleetSnapshot", bars: int) -> Table:
        table = queue_table(COLUMNS, bars)
        known: Mapping[str, QueueNews] = snapshot.news.queues if snapshot.news else {}
        for name, replicas in snapshot.replicas.items():
            queue = known.get(name)
            moving = not replicas.desired == replicas.ready == replicas.total
            waiting = running = done = Text("?")
            if queue is not None:
                waiting, running = number(queue.waiting, "yellow"), number(queue.running, "cyan")
                done = number(queue.done, "green")
            table.add_row(
                Text(plain(name), style="bold"),
                number(replicas.desired, "cyan"),
                Text(str(replicas.ready), style="bold cyan" if replicas.ready or moving else "dim"),
                number(replicas.total, "cyan"),
                Text(self._ready[name].bars(bars), style="cyan"),
                waiting,
                running,
                Text(f"{self._rates[name].per_second:.1f}" if name in self._rates else "?"),
                done,
            )
        return table

    def _counts(self, snapshot: "FleetSnapshot") -> Text:
        still = f", {snapshot.news.open:,} open" if snapshot.news else ""
        line = Text(f" settled {snapshot.settled:,}{still}  ·", no_wrap=True, overflow="ellipsis")
        line.append_text(failures(snapshot.failed))
        if snapshot.news is not None and snapshot.news_age > STALE_SECONDS:
            line.append(f"  · {snapshot.news_age:.0f} s old", style="not dim red")
        return line

    def _nodes(self, snapshot: "FleetSnapshot") -> Table:
        queues = list(snapshot.replicas)
        table = lined_table()
        table.add_column("node", min_width=7, no_wrap=True, overflow="ellipsis", max_width=40)
        for name in queues:
            table.add_column(plain(name), justify="right", min_width=5)
        table.add_column("pods ready", justify="right")
        # Of many nodes only the busiest, in the usual order.
        busiest = sorted(snapshot.nodes, key=lambda name: -sum(snapshot.nodes[name].values()))[:MOST_NODES]
        for name, pods in snapshot.nodes.items():
            if name in busiest:
                cells = [number(pods.get(queue, 0), "cyan") for queue in queues]
                table.add_row(Text(plain(name)), *cells, number(sum(pods.values()), "bold cyan"))
        if len(snapshot.nodes) > len(busiest):
            table.add_row(Text(f"and {len(snapshot.nodes) - len(busiest)} more", style="dim"))
        return table

    def _latest(self, snapshot: "FleetSnapshot", width: int) -> list[Text]:
        """Return the last events, then what is broken; always as many lines: the picture must keep its height."""
        lines = []
        for event in self._events:
            line = Text(f" {clock(event.t):>7}  ", style="dim", no_wrap=True, overflow="ellipsis")
            lines.append(line.append(_as_text(event), style=f"not dim {STYLES.get(event.what, '')}"))
        lines += [Text("")] * (MOST_EVENTS - len(lines))
        broken = " ".join(snapshot.broken)
        lines.append(Text(f" {plain(broken)}", style="red", no_wrap=True, overflow="ellipsis"))
        for line in lines:
            line.truncate(width, overflow="ellipsis")
        return lines

    def _print(self, snapshot: "FleetSnapshot") -> None:
        known: Mapping[str, QueueNews] = snapshot.news.queues if snapshot.news else {}
        queues = []
        for name, replicas in snapshot.replicas.items():
            queue = known.get(name)
            depth = f"waiting {queue.waiting} running {queue.running}" if queue else "waiting ? running ?"
            replica = f"replicas {replicas.ready}/{replicas.desired}"
            if replicas.total != replicas.desired:
                replica += f" of {replicas.total}"
            queues.append(f"{name}: {replica} {depth}")
        places = ", ".join(
            f"{node} {sum(pods.values())}" for node, pods in snapshot.nodes.items() if any(pods.values())
        )
        still = str(snapshot.news.open) if snapshot.news else "?"
        failed = sum(snapshot.failed.values())
        text = f"open {still}  settled {snapshot.settled}  failed {failed}  {'  '.join(queues)}"
        text += f"  on {places}" if places else ""
        text += f"  {' '.join(snapshot.broken)}" if snapshot.broken else ""
        if text != self._printed:
            self._printed = text
            self._write(f"[{snapshot.t:7.1f} s]  {text}")

    def _write(self, line: str) -> None:
        sys.stdout.write(plain(line) + "\n")
        sys.stdout.flush()


def _as_text(event: Event) -> str:
    """Return an event as a line of text."""
    if event.what is What.SCALE:
        arrow = f"{event.before} \N{RIGHTWARDS ARROW} {event.after}"
        return plain(f"{event.queue}: {arrow} replicas desired ({event.message})")
    return plain(f"{event.queue}: {event.message}" if event.queue else event.message)
