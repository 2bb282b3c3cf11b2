from pathlib import Path

from app.runtime.heartbeat import Heartbeat


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
