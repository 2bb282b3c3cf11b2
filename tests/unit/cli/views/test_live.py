import io
import itertools
import re
from contextlib import suppress

import pytest
from rich.console import Console

from app.cli.views.live import LiveView
from app.cli.views.pieces import clock
from app.ledger.models import BatchCounts, QueueDepth
from app.local.fleet import QueueStatus
from app.local.snapshot import RunSnapshot
from app.queues import Queue


def snapshot(
    settled: int, *, waiting: int = 0, ready: int = 0, replicas: int = 0, **errors: int
) -> RunSnapshot:
    failed = sum(errors.values())
    depth = QueueDepth(waiting=waiting, running=ready, done=settled, oldest_wait_seconds=waiting / 100)
    status = QueueStatus(depth=depth, replicas=replicas, ready=ready)
    counts = BatchCounts(batch_id="b", total=1000, succeeded=settled - failed, failed=failed, errors=errors)
    return RunSnapshot(counts=counts, queues={Queue.PDF: status, Queue.OCR: status}, settled=[])


SNAPSHOTS = [
    snapshot(0),
    snapshot(0, waiting=1_000, replicas=4),
    snapshot(321, waiting=679, ready=4, replicas=4, password_required=12, malformed=3),
    snapshot(
        1_000, ready=1, replicas=0, password_required=20, malformed=20, not_a_document=2, resource_limit=1
    ),
    snapshot(1_000, password_required=20, malformed=20, not_a_document=2, resource_limit=1),
]


def picture(view: LiveView, seen: RunSnapshot) -> list[str]:
    """Return the lines of the table as they are drawn."""
    with view.console.capture() as capture:
        view.console.print(view._picture(seen, view._left(seen)))
    return re.sub(r"\x1b\[[0-9;]*m", "", capture.get()).splitlines()


@pytest.mark.parametrize("width", [60, 80, 110, 200])
def test_nothing_moves_while_numbers_grow(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = itertools.count()
    monkeypatch.setattr("app.cli.views.live.time.monotonic", lambda: next(ticks) / 5)
    console = Console(file=io.StringIO(), force_terminal=True, width=width, markup=False, emoji=False)
    view = LiveView(1_000, "1,000 documents to [/somewhere]", console=console)
    pictures = []
    for seen in SNAPSHOTS:
        view.update(seen)
        pictures.append(picture(view, seen))
    assert len({len(lines) for lines in pictures}) == 1, "the height stays"
    heads = [next(line for line in lines if "waiting" in line) for lines in pictures]
    assert len({re.sub(r"\s+$", "", head) for head in heads}) == 1, "the columns stay"
    assert all(len(line) <= width for lines in pictures for line in lines)
    if width >= 80:
        assert "oldest" in heads[0]
        last = "\n".join(pictures[-1])
        assert "[/somewhere]" in last
        assert "1,000 of 1,000" in last
        assert "malformed 20 · password_required 20 · not_a_document 2" in last
        assert "all done" in last
        assert "scaling down" in "\n".join(pictures[-2])
        assert "0 → 4" in "\n".join(pictures[1])


def test_the_last_snapshot_stays_and_says_that_it_was_stopped() -> None:
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=100, markup=False)
    with suppress(KeyboardInterrupt), LiveView(1_000, "title", console=console) as view:
        view.update(SNAPSHOTS[2])
        raise KeyboardInterrupt
    drawn = output.getvalue()
    assert drawn.rindex("stopped") > drawn.rindex("left")
    assert drawn.endswith("\x1b[?25h"), "the cursor is back"


def test_without_a_terminal_there_are_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(file=io.StringIO(), width=100)
    with LiveView(1_000, "title", console=console) as view:
        for seen in SNAPSHOTS:
            view.update(seen)
    lines = capsys.readouterr().err.splitlines()
    # The first snapshot, the one at which all was settled, and the last; those between came within two seconds.
    assert [line.split()[4] for line in lines] == ["0/1000", "1000/1000", "1000/1000"]
    assert "pdf: waiting 0 running 1 replicas 1/0" in lines[1]
    assert console.file.getvalue() == ""  # type: ignore[attr-defined]


def test_a_sentence_stays_above_the_table() -> None:
    output = io.StringIO()
    with LiveView(1_000, "title", console=Console(file=output, force_terminal=True, width=100)) as view:
        view.update(SNAPSHOTS[0])
        view.note("Waiting for room.")
        view.update(SNAPSHOTS[1])
    assert output.getvalue().count("Waiting for room.") == 1


def test_a_sentence_is_a_line_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with LiveView(1_000, "title", console=Console(file=io.StringIO(), width=100)) as view:
        view.note("Waiting for room.")
    assert capsys.readouterr().err.endswith("]  Waiting for room.\n")


def test_times_read_as_on_a_clock() -> None:
    assert [clock(seconds) for seconds in (0, 59.9, 60, 3_725)] == ["0:00", "0:59", "1:00", "1:02:05"]
