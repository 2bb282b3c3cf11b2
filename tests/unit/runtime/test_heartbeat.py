import os
import threading
from pathlib import Path

import pytest

from app.runtime.heartbeat import Heartbeat, beat, begin


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Heartbeat, "begun", None)


def test_the_file_appears_when_the_work_begins_and_each_beat_touches_it(tmp_path: Path) -> None:
    path = tmp_path / "alive"
    heartbeat = Heartbeat(str(path))
    heartbeat.beat()
    assert not path.exists()
    heartbeat.begin()
    first = path.stat().st_mtime_ns
    while path.stat().st_mtime_ns == first:
        heartbeat.beat()


def test_without_a_name_there_is_no_file(tmp_path: Path) -> None:
    Heartbeat("").begin()
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_waits_beats_and_no_thread_beats_for_another(tmp_path: Path) -> None:
    path = tmp_path / "alive"
    Heartbeat(str(path)).begin()
    os.utime(path, (0, 0))
    other = threading.Thread(target=beat)
    other.start()
    other.join()
    assert path.stat().st_mtime == 0
    beat()
    assert path.stat().st_mtime > 0


def test_a_process_may_begin_while_it_waits_at_its_start(tmp_path: Path) -> None:
    waiting, working = tmp_path / "waiting", tmp_path / "working"
    begin(str(waiting))
    assert waiting.exists()
    Heartbeat(str(working)).begin()
    waiting.unlink()
    begin(str(waiting))
    beat()
    assert not waiting.exists(), "its own heartbeat has begun"


def test_a_process_without_a_heartbeat_may_wait_too() -> None:
    beat()
