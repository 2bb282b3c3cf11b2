import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.client.intake import Unreadable, expand, named, submissions
from app.errors import UsageError
from app.ledger.models import Options
from app.storage.layout import original_key
from app.storage.store import ObjectStore


def make(folder: Path, *names: str) -> list[Path]:
    paths = []
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
        paths.append(path)
    return paths


def test_a_folder_means_all_files_below_it_in_order(tmp_path: Path) -> None:
    make(tmp_path, "b.pdf", "a.pdf", "sub/c.pdf", ".hidden", ".git/x")
    assert [path.name for path in expand([tmp_path])] == ["a.pdf", "b.pdf", "c.pdf"]


def test_a_file_named_twice_is_taken_once(tmp_path: Path) -> None:
    (path,) = make(tmp_path, "a.pdf")
    assert expand([path, tmp_path, path]) == [path]


def test_the_output_folder_is_not_read(tmp_path: Path) -> None:
    make(tmp_path, "a.pdf", "out/a/text.txt")
    assert [path.name for path in expand([tmp_path], skip=tmp_path / "out")] == ["a.pdf"]


def test_the_output_folder_cannot_be_an_input(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is also an input"):
        expand([tmp_path], skip=tmp_path / "x" / "..")


def test_a_path_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.pdf does not exist"):
        expand([tmp_path / "nowhere.pdf"])


def test_a_pipe_is_no_document(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="neither a file nor a folder"):
        expand([tmp_path / "pipe"])
    assert expand([tmp_path]) == []


def test_colliding_names_get_numbers() -> None:
    paths = [
        Path("x/report.pdf"),
        Path("y/report.pdf"),
        Path("report.png"),
        Path("Report.pdf"),
        Path("report-2.pdf"),
    ]
    assert [intake.name for intake in named(paths)] == [
        "report",
        "report-2",
        "report-3",
        "Report-4",
        "report-2-2",
    ]


@given(st.lists(st.text(min_size=1).filter(lambda text: "/" not in text and "\0" not in text), max_size=30))
def test_every_file_gets_a_folder_name_of_its_own(stems: list[str]) -> None:
    intakes = named([Path("dir") / f"{stem}.pdf" for stem in stems])
    folded = [intake.name.casefold() for intake in intakes]
    assert len(set(folded)) == len(stems)
    for intake in intakes:
        assert intake.name not in {"", ".", ".."}
        assert "/" not in intake.name
        assert len(intake.name.encode()) < 255


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS refuses file names that are not UTF-8")
def test_a_name_that_is_not_utf8_is_made_printable(tmp_path: Path) -> None:
    raw = os.fsencode(tmp_path) + b"/\xff\xfe.pdf"
    Path(os.fsdecode(raw)).write_bytes(b"x")
    (intake,) = named(expand([tmp_path]))
    intake.source.encode()
    intake.name.encode()


def test_an_unreadable_file_is_refused_and_the_others_are_sent(tmp_path: Path) -> None:
    good, gone = make(tmp_path, "good.pdf", "gone.pdf")
    intakes = named([gone, good])
    gone.unlink()
    refused: list[Unreadable] = []
    store = ObjectStore("memory://", timeout_seconds=1.0)
    sent = list(submissions(intakes, store, batch_id="b", options=Options(), max_bytes=100, refused=refused))
    assert [one.source for one in sent] == [str(good)]
    assert store.get(original_key("b", sent[0].document_id)) == b"good.pdf"
    assert [one.intake.source for one in refused] == [str(gone)]
    assert "cannot be read" in refused[0].reason


def test_of_a_huge_file_one_byte_more_than_the_limit_is_stored(tmp_path: Path) -> None:
    (path,) = make(tmp_path, "huge.pdf")
    path.write_bytes(b"x" * 1_000)
    store = ObjectStore("memory://", timeout_seconds=1.0)
    (one,) = submissions(named([path]), store, batch_id="b", options=Options(), max_bytes=100, refused=[])
    assert len(store.get(original_key("b", one.document_id))) == 101
