import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.errors import FleetError
from app.report.timeline import (
    DocumentRecord,
    Event,
    Machine,
    Meta,
    QueueSample,
    Record,
    RunSummary,
    Sample,
    Stage,
    Timeline,
    What,
    encode,
    read,
)

META = Meta(
    command="fleet demo",
    machine=Machine(cores=2, python="3.11.9", celery="5.7.0"),
    started=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    documents=1,
    seed=7,
    max_replicas=4,
    policies={"pdf": {"max_replicas": 4, "tolerance": 0.1}},
)
QUEUE = QueueSample(waiting=3, running=1, replicas=2, ready=1, done=5)
RECORDS: list[Record] = [
    META,
    Sample(t=0.5, queues={"pdf": QUEUE}, settled=5, failed={"malformed": 1}),
    Event(t=0.6, what=What.SCALE, queue="pdf", before=0, after=2, message="4 documents"),
    Event(t=0.7, what=What.FAULT),
    DocumentRecord(
        id="a",
        state="failed",
        error="malformed",
        opened=0.1,
        started=0.2,
        finished=0.9,
        queue="ocr",
        stages=[Stage(queue="pdf", opened=0.1, started=0.2, finished=0.3)],
    ),
    RunSummary(
        seconds=0.9,
        documents=1,
        states={"failed": 1},
        failed={"malformed": 1},
        documents_per_second=1.1,
        peak_replicas={"pdf": 1},
    ),
]


def test_what_was_recorded_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "timeline.jsonl"
    with Timeline(path, META) as timeline:
        for record in RECORDS[1:]:
            timeline.record(record)
    assert read(path) == RECORDS
    assert path.read_bytes() == encode(RECORDS)


def test_each_line_says_what_it_is() -> None:
    lines = [json.loads(line) for line in encode(RECORDS).splitlines()]
    assert [line["kind"] for line in lines] == ["meta", "sample", "event", "event", "document", "summary"]
    assert lines[0]["started"] == "2026-01-02T03:04:05Z"
    assert lines[1]["queues"]["pdf"] == {"waiting": 3, "running": 1, "replicas": 2, "ready": 1, "done": 5}
    assert lines[3] == {"kind": "event", "t": 0.7, "what": "fault"}


def test_a_line_is_on_the_disk_before_the_timeline_is_closed(tmp_path: Path) -> None:
    with Timeline(tmp_path / "timeline.jsonl", META) as timeline:
        timeline.record(RECORDS[1])
        assert read(timeline.path) == RECORDS[:2]


def test_an_earlier_run_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "timeline.jsonl"
    path.write_bytes(encode(RECORDS))
    with Timeline(path, META):
        pass
    assert read(path) == [META]


def test_time_is_counted_from_the_start(tmp_path: Path) -> None:
    readings = iter([100.0, 100.0, 101.23456])
    with Timeline(tmp_path / "timeline.jsonl", META, clock=lambda: next(readings)) as timeline:
        assert timeline.elapsed() == 0.0
        assert timeline.elapsed() == 1.235


def test_a_last_line_that_breaks_off_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "timeline.jsonl"
    path.write_bytes(encode(RECORDS)[:-20])
    assert read(path) == RECORDS[:-1]


@pytest.mark.parametrize("line", [b"{", b'{"kind":"meta"}', b'{"kind":"what"}', b"\xff", b""])
def test_a_foreign_line_is_named_by_its_number(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "timeline.jsonl"
    path.write_bytes(encode(RECORDS[:1]) + line + b"\n" + encode(RECORDS[1:]))
    with pytest.raises(FleetError, match=r"^Line 2 of .*timeline.jsonl is not part of a timeline: "):
        read(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FleetError, match=r"timeline.jsonl cannot be read: No such file"):
        read(tmp_path / "timeline.jsonl")


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FleetError, match=r"cannot be written: "):
        Timeline(tmp_path / "file" / "timeline.jsonl", META)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_a_full_disk_is_named() -> None:
    with pytest.raises(FleetError, match="cannot be written: No space left on device"):
        Timeline(Path("/dev/full"), META)
