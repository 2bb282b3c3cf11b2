"""`fleet process` as a person runs it: its results, its output, its exit codes."""

import io
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import msgspec
import psutil
import pytest
from PIL import Image

from tests.support.command_line import Commands, Running, index_of
from tests.support.documents import slow_document
from tests.support.synthetic import ENCRYPTED, GOOD, IMAGE, MALFORMED, SCAN, document, folder_of
from tests.support.waiting import wait_for

FIELDS = [
    *("source", "document_id", "state", "error", "message", "pages", "unreadable_pages", "characters"),
    *("ocr_pages", "attempts", "seconds", "results"),
]


def mixed(place: Path) -> Path:
    """Write a folder with one file of each sort."""
    folder_of(place / "nested" / "deep", GOOD)
    (place / "0000.pdf").write_bytes(document(GOOD + 1))
    (place / "0000.PDF.pdf").write_bytes(document(GOOD + 2))
    (place / "encrypted.pdf").write_bytes(document(ENCRYPTED))
    (place / "damaged.pdf").write_bytes(document(MALFORMED))
    (place / "empty.pdf").write_bytes(b"")
    (place / "letter.txt").write_text("Dear reader,")
    (place / "photo.jpg").write_bytes(document(IMAGE))
    (place / "[bold]\x1b[31m.pdf").write_bytes(b"%PDF-1.4 nothing")
    if sys.platform != "darwin":
        Path(os.fsdecode(os.fsencode(place) + b"/caf\xe9.pdf")).write_bytes(document(GOOD))
    return place


def test_a_mixed_folder(commands: Commands, tmp_path: Path) -> None:
    given = mixed(tmp_path / "in")
    output = given / "results"  # inside the input, so skipped as input
    code, lines, errors = commands.run_here("process", given, "--output", output, "--json")
    assert code == 3
    index = index_of(output)
    assert sorted(lines) == sorted(msgspec.json.encode(line).decode() for line in index)
    assert all(list(line) == FIELDS and list(line["results"]) == ["text", "thumbnail"] for line in index)
    sources = [line["source"] for line in index]
    ours = [path for path in given.rglob("*") if path.is_file() and output not in path.parents]
    assert sources[-1] == str(given / "nested" / "deep" / "0000.pdf")
    assert sources[:-1] == sorted(sources[:-1])
    assert len(sources) == len(ours)
    ends = {Path(line["source"]).name: line["error"] or line["state"] for line in index}
    expected = {
        "0000.pdf": "succeeded",
        "0000.PDF.pdf": "succeeded",
        "encrypted.pdf": "password_required",
        "damaged.pdf": "malformed",
        "empty.pdf": "empty",
        "letter.txt": "not_a_document",
        "photo.jpg": "succeeded",
        "[bold]\x1b[31m.pdf": "malformed",
    }
    assert {**ends, **expected} == ends
    assert set(ends) - set(expected) <= {"caf\N{REPLACEMENT CHARACTER}.pdf"}
    texts = [line["results"]["text"] for line in index if line["state"] == "succeeded"]
    assert len(set(texts)) == len(texts), "colliding names get numbers"
    for line in index:
        assert (line["message"] is None) == (line["error"] is None)
        assert line["attempts"] == 1
        if line["error"]:
            assert line["results"] == {"text": None, "thumbnail": None}
            continue
        text = (output / line["results"]["text"]).read_bytes().decode()
        assert len(text) > 0.9 * line["characters"] > 0 or line["source"].endswith("photo.jpg")
        with Image.open(io.BytesIO((output / line["results"]["thumbnail"]).read_bytes())) as thumbnail:
            assert max(thumbnail.size) == 320
        facts = msgspec.json.decode(
            (output / line["results"]["text"]).with_name("document.json").read_bytes()
        )
        assert facts["page_count"] == line["pages"]
    assert "\x1b" not in errors
    assert f"{len(texts)} of {len(index)} succeeded" in errors
    assert "encrypted.pdf: password_required: The document is encrypted" in errors


def test_a_second_run_into_the_same_folder_replaces_the_first(commands: Commands, tmp_path: Path) -> None:
    given, output = folder_of(tmp_path / "in", GOOD, GOOD + 1), tmp_path / "out"
    code, lines, errors = commands.run("process", given, "--output", output)
    assert (code, lines) == (0, []), errors
    assert "2 of 2 succeeded" in errors
    (given / "0000.pdf").write_bytes(b"%PDF-1.4 no more")
    code, _, _ = commands.run("process", given, given / "0001.pdf", "-o", output)
    assert code == 3
    assert [line["error"] for line in index_of(output)] == ["malformed", None]
    assert not (output / "0000").exists(), "a result of the first run is not one of the second"
    assert (output / "0001" / "text.txt").exists()


def test_a_password_and_the_three_ways_of_ocr(commands: Commands, tmp_path: Path) -> None:
    scan, encrypted = tmp_path / "scan.pdf", tmp_path / "locked.pdf"
    scan.write_bytes(document(SCAN))
    encrypted.write_bytes(locked())
    found = {}
    for mode, given, password in (
        ("auto", [scan, encrypted], "secret"),
        ("never", [scan, encrypted], "wrong"),
        ("always", [encrypted], "secret"),
    ):
        arguments = [*given, "-o", tmp_path / mode, "--ocr", mode, "--json", "--password", password]
        code, lines, errors = commands.run("process", *arguments)
        assert code == (3 if mode == "never" else 0), errors
        for line in map(msgspec.json.decode, lines):
            found[mode, Path(line["source"]).name] = (line["error"], line["ocr_pages"])
    assert found == {
        ("auto", "scan.pdf"): (None, [1]),
        ("auto", "locked.pdf"): (None, []),
        ("never", "scan.pdf"): (None, []),
        ("never", "locked.pdf"): ("password_required", []),
        ("always", "locked.pdf"): (None, [1]),
    }
    assert (tmp_path / "auto" / "scan" / "text.txt").read_text().strip()


def locked() -> bytes:
    """Return an encrypted document of one short page."""
    from pypdf import PdfReader, PdfWriter

    writer = PdfWriter()
    writer.add_page(PdfReader(io.BytesIO(document(GOOD))).pages[0])
    writer.encrypt("secret", algorithm="AES-256")
    output = io.BytesIO()
    writer.write(output)
    return output.getvalue()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nowhere.pdf", "-o", "{out}"], "nowhere.pdf does not exist."),
        (["{empty}", "-o", "{out}"], "There is no file in the folders given."),
        (["{empty}", "-o", "{empty}"], "is also an input"),
        (["{empty}"], "Missing option '--output'"),
        (["{empty}", "-o", "{out}", "--ocr", "perhaps"], "'perhaps' is not one of"),
    ],
)
def test_wrong_arguments_are_an_error_and_nothing_is_written(
    commands: Commands, tmp_path: Path, arguments: list[str], sentence: str
) -> None:
    (tmp_path / "empty").mkdir()
    places = {"out": tmp_path / "out", "empty": tmp_path / "empty"}
    code, lines, errors = commands.run_here("process", *(one.format(**places) for one in arguments))
    assert (code, lines) == (2, [])
    assert sentence in errors
    assert not (tmp_path / "out").exists()


def test_an_output_that_cannot_be_written(commands: Commands, tmp_path: Path) -> None:
    given = folder_of(tmp_path / "in", GOOD)
    code, _, errors = commands.run_here("process", given, "-o", given / "0000.pdf" / "out")
    assert code == 1
    assert errors == f"Error: {given / '0000.pdf' / 'out'} cannot be written: Not a directory.\n"


def test_hundreds_of_paths(commands: Commands, tmp_path: Path) -> None:
    data = document(GOOD)
    paths = [tmp_path / f"copy {number}.pdf" for number in range(200)]
    for path in paths:
        path.write_bytes(data)
    code, _, errors = commands.run("process", *paths, "-o", tmp_path / "out", "--ocr", "never")
    assert code == 0, errors
    assert [line["source"] for line in index_of(tmp_path / "out")] == list(map(str, paths))
    assert len(list((tmp_path / "out").glob("*/text.txt"))) == 200


def test_a_reader_of_the_lines_may_leave(commands: Commands, tmp_path: Path) -> None:
    given = folder_of(tmp_path / "in", *range(3))
    script = (
        f'"{sys.executable}" -m app.cli.main process "{given}" -o "{tmp_path / "out"}" --json | head -n 1'
    )
    done = subprocess.run(
        ["sh", "-c", script],
        env=commands.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert len(done.stdout.splitlines()) == 1
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


@pytest.mark.skipif(os.getuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read(commands: Commands, tmp_path: Path) -> None:
    given = folder_of(tmp_path / "in", GOOD, GOOD + 1)
    (given / "0000.pdf").chmod(stat.S_IWUSR)
    code, _, errors = commands.run("process", given, "-o", tmp_path / "out")
    assert code == 3
    assert [line["error"] for line in index_of(tmp_path / "out")] == ["unreadable_file", None]
    assert "Permission denied" in errors


def begun(commands: Commands, tmp_path: Path, **variables: str) -> Running:
    """Start a run that has settled some documents and has another in progress for some seconds."""
    given = folder_of(tmp_path / "in", *range(3))
    for number in range(2):
        (given / f"slow {number}.pdf").write_bytes(slow_document(150_000))
    running = commands.start("process", given, "-o", tmp_path / "out", "--json", **variables)
    wait_for(lambda: len(running.lines) == 3 or running.process.poll() is not None, "the quick documents")
    assert running.process.poll() is None, running.errors
    return running


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_ends_it_in_order(
    commands: Commands, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    with begun(commands, tmp_path) as running:
        running.send(number)
        assert running.wait(10.0) == code
        assert commands.left() == [], "no process or file outlives the command"
        assert running.errors.endswith("Stopped: every process that this command started has ended.\n")
        assert [line["state"] for line in index_of(tmp_path / "out")] == ["succeeded"] * 3


def test_a_kill_leaves_nothing_behind(commands: Commands, tmp_path: Path) -> None:
    with begun(commands, tmp_path) as running:
        assert len(commands.processes()) >= 4, "the command, its watchdog, a server, a worker"
        running.send(signal.SIGKILL)
        running.wait()
        wait_for(lambda: not commands.left(), "the end of what was started", seconds=10.0)


def test_two_runs_at_once_share_only_the_lock_of_their_output(commands: Commands, tmp_path: Path) -> None:
    with begun(commands, tmp_path) as running:
        other = folder_of(tmp_path / "other", GOOD)
        code, _, errors = commands.run("process", other, "-o", tmp_path / "out")
        assert running.process.poll() is None
        assert code == 1
        assert "Another run is writing its results to" in errors
        code, _, errors = commands.run("process", other, "-o", tmp_path / "elsewhere")
        assert code == 0, errors


def test_every_process_of_a_run_can_be_told_from_others(commands: Commands, tmp_path: Path) -> None:
    """`Commands.processes`, on which other tests rely, finds every child of the command."""
    with begun(commands, tmp_path) as running:
        children = psutil.Process(running.process.pid).children()
        assert {child.pid for child in children} <= {process.pid for process in commands.processes()}
