"""`fleet demo`: the counts add up, the fleet scales up and down, and the report is written."""

import signal
from collections.abc import Sequence
from pathlib import Path

import msgspec

from app.report.timeline import Meta, RunSummary, Sample, read
from tests.support.command_line import Commands
from tests.support.waiting import wait_for

DOCUMENTS = 50
REPORT = {"index.html", "timeline.jsonl", "scaling.svg", "throughput.svg", "latency.svg"}


def ready(samples: Sequence[Sample], queue: str) -> list[int]:
    return [sample.queues[queue].ready for sample in samples]


def test_fifty_documents(commands: Commands, tmp_path: Path) -> None:
    report = tmp_path / "report"
    code, lines, errors = commands.run_here("demo", "--documents", DOCUMENTS, "--report", report, "--json")
    assert code == 0, errors
    (line,) = lines
    said = msgspec.json.decode(line)
    assert said["documents"] == sum(said["states"].values()) == DOCUMENTS
    assert said["states"]["failed"] == sum(said["failed"].values()) == 2
    assert said["failed"] == {"malformed": 1, "password_required": 1}
    assert Path(said["report"]) == report / "index.html"
    assert {path.name for path in report.iterdir()} == REPORT

    records = read(report / "timeline.jsonl")
    assert isinstance(records[0], Meta)
    assert isinstance(records[-1], RunSummary)
    samples = [record for record in records if isinstance(record, Sample)]
    for queue in ("pdf", "ocr"):
        course = ready(samples, queue)
        assert (course[0], course[-1]) == (0, 0)
        assert max(course) == said["peak_replicas"][queue] > 0
    assert samples[-1].settled == DOCUMENTS

    # Without a terminal it prints plain lines; the last one has the result.
    plain = [line for line in errors.splitlines() if line.startswith("[")]
    assert len(plain) >= 2
    assert all("pdf" in line and "replicas" in line for line in plain)
    assert "50/50" in plain[-1]
    assert "\x1b" not in errors


def test_a_second_demo_into_the_same_report_is_an_error(commands: Commands, tmp_path: Path) -> None:
    report = tmp_path / "report"
    with commands.start("demo", "--documents", DOCUMENTS, "--report", report) as running:
        wait_for(lambda: "0/50" in running.errors or running.process.poll() is not None, "the first demo")
        code, _, errors = commands.run("demo", "--documents", 5, "--report", report)
        assert code == 1
        assert f"Another demo is writing its report to {report}" in errors
        running.send(signal.SIGINT)
        assert running.wait(15.0) == 130
        assert commands.left() == []
        assert running.errors.endswith("Stopped: every process that this command started has ended.\n")


def test_a_killed_demo_leaves_nothing_behind(commands: Commands, tmp_path: Path) -> None:
    with commands.start("demo", "--documents", DOCUMENTS, "--report", tmp_path / "report") as running:
        wait_for(lambda: len(commands.processes()) > 4 or running.process.poll() is not None, "the workers")
        assert running.process.poll() is None
        running.send(signal.SIGKILL)
        running.wait()
        wait_for(lambda: not commands.left(), "the end of what was started", seconds=10.0)


def test_a_report_that_cannot_be_written(commands: Commands, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    code, _, errors = commands.run("demo", "--documents", 5, "--report", tmp_path / "file" / "report")
    assert code == 1
    assert f"Error: {tmp_path / 'file' / 'report'} cannot be written: Not a directory." in errors
