import io
import re

import pytest
from rich.console import Console

from app.cli.views.watch import MOST_EVENTS, WatchView
from app.client.news import News, QueueNews
from app.cluster.state import Replicas
from app.cluster.watcher import FleetSnapshot
from app.report.timeline import Event, What


def snapshot(
    t: float, *, ready: int = 0, desired: int = 0, waiting: int = 0, done: int = 0, **more: object
) -> FleetSnapshot:
    news = News(
        time=t, queues={"pdf": QueueNews(waiting=waiting, running=ready, done=done)}, open=waiting + ready
    )
    given = {
        "t": t,
        "replicas": {"pdf": Replicas(desired, ready, max(ready, desired)), "ocr": Replicas()},
        "nodes": {f"node-{number}": {"pdf": ready} if number == 1 else {} for number in range(3)},
        "news": news,
        "news_age": 0.0,
        "broken": [],
        "events": [],
        "documents": [],
        "settled": done,
        "failed": {},
        "fresh": True,
        "idle": False,
    }
    return FleetSnapshot(**{**given, **more})  # type: ignore[arg-type]


SCALED = Event(t=2.0, what=What.SCALE, queue="pdf", before=0, after=9, message="fleet-worker-pdf")
DIED = Event(t=3.0, what=What.REPLACED, queue="pdf", message="pod p1 on node-1 is gone")
BROKEN = "No beat pod is ready: the queues cannot be read until one is."
SNAPSHOTS = [
    snapshot(0.5, news=None, fresh=False),
    snapshot(2.0, desired=9, waiting=1_000, events=[SCALED]),
    snapshot(8.0, desired=9, ready=9, waiting=400, done=600, failed={"malformed": 12}, events=[DIED] * 20),
    snapshot(20.0, ready=1, done=1_000, news_age=12.0, fresh=False, broken=[BROKEN]),
    snapshot(30.0, done=1_000),
]


def picture(view: WatchView, seen: FleetSnapshot) -> list[str]:
    with view.console.capture() as capture:
        view.console.print(view.picture(seen))
    return re.sub(r"\x1b\[[0-9;]*m", "", capture.get()).splitlines()


@pytest.mark.parametrize("width", [76, 80, 110, 200])
def test_nothing_moves_while_numbers_grow(width: int) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=width, markup=False, emoji=False)
    view = WatchView("release mine, context [/here]", console=console)
    pictures = []
    for seen in SNAPSHOTS:
        view.update(seen)
        pictures.append(picture(view, seen))
    assert len({len(lines) for lines in pictures}) == 1, "the height stays"
    heads = {next(line for line in lines if "waiting" in line).rstrip() for lines in pictures}
    assert len(heads) == 1, "the columns stay"
    assert all(len(line) <= width for lines in pictures for line in lines)
    assert "[/here]" in pictures[0][1]
    unknown = next(line for line in pictures[0] if line.startswith(" pdf"))
    assert unknown.count("?") == 4, "without news a number is unknown, not 0"
    text = "\n".join(pictures[2])
    assert re.search(r"pdf +9 +9 +9 .* 400 +9 .* 600", text)
    assert re.search(r"node-1 +9 +0 +9", text)
    assert "malformed 12" in text
    assert sum("is gone" in line for line in pictures[2]) == MOST_EVENTS
    last = "\n".join(pictures[3])
    assert "12 s old" in last
    assert "No beat pod is ready" in last


def test_many_nodes_are_cut_to_the_busiest() -> None:
    nodes = {f"node-{number}": {"pdf": number % 3} for number in range(40)}
    view = WatchView("title", console=Console(file=io.StringIO(), force_terminal=True, width=100))
    lines = picture_of(view, snapshot(1.0, nodes=nodes))
    assert sum(line.startswith(" node-") for line in lines) == 16
    assert any("and 24 more" in line for line in lines)


def picture_of(view: WatchView, seen: FleetSnapshot) -> list[str]:
    view.update(seen)
    return picture(view, seen)


def test_without_a_terminal_there_are_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with WatchView("title", console=Console(file=io.StringIO(), width=100)) as view:
        for seen in SNAPSHOTS:
            view.update(seen)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "title"
    assert "pdf: replicas 0/0 waiting ? running ?" in lines[1]
    assert lines[2] == "[    2.0 s]  pdf: 0 → 9 replicas desired (fleet-worker-pdf)"
    assert "replicas 9/9 waiting 400 running 9" in lines[-3]
    assert lines[-3].endswith("on node-1 9")
    assert lines[-2].endswith(BROKEN)
    assert "open 0  settled 1000  failed 0" in lines[-1]
    assert sum("is gone" in line for line in lines) == 20


def test_control_characters_from_the_cluster_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    bad = Event(t=1.0, what=What.FAULT, message="evil\x1b[2J\nname")
    with WatchView("title", console=Console(file=io.StringIO())) as view:
        view.update(snapshot(1.0, events=[bad]))
    assert "\x1b" not in capsys.readouterr().out
