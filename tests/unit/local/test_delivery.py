from pathlib import Path

import msgspec
import pytest

from app.client.intake import Intake, Unreadable
from app.documents.models import ResultKind
from app.errors import FleetError
from app.ledger.models import Document, State
from app.local.delivery import OutputFolder
from app.storage.layout import result_keys
from app.storage.store import ObjectStore


@pytest.fixture
def store() -> ObjectStore:
    store = ObjectStore("memory://", timeout_seconds=1.0)
    keys = result_keys("b", "d")
    store.put(keys[ResultKind.TEXT], b"words")
    store.put(keys[ResultKind.DOCUMENT], b"{}")
    return store


def intake(name: str, document_id: str = "d") -> Intake:
    return Intake(path=Path(f"{name}.pdf"), source=f"{name}.pdf", name=name, document_id=document_id)


def settled(state: State = State.SUCCEEDED, **changes: object) -> Document:
    document = Document(
        document_id="d",
        batch="b",
        source="a.pdf",
        state=state,
        queue="pdf",
        opened=1.0,
        started=2.0,
        finished=4.5,
        attempts=1,
        summary=msgspec.Raw(b'{"p":3,"c":5}'),
        results=tuple(ResultKind),
    )
    return msgspec.structs.replace(document, **changes)


def test_results_lie_in_a_folder_of_the_documents_name(tmp_path: Path, store: ObjectStore) -> None:
    line = OutputFolder(tmp_path, store).deliver(intake("a"), settled())
    assert (line.pages, line.characters, line.seconds) == (3, 5, 2.5)
    assert line.results.text == "a/text.txt"
    assert (tmp_path / "a" / "text.txt").read_bytes() == b"words"
    assert line.results.thumbnail is None, "deleted from the store meanwhile"


def test_results_of_an_earlier_run_are_removed(tmp_path: Path, store: ObjectStore) -> None:
    folder = OutputFolder(tmp_path, store)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "thumbnail.jpg").write_bytes(b"old")
    (tmp_path / "a" / "mine.txt").write_bytes(b"a person's own")
    folder.deliver(intake("a"), settled())
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [
        "document.json",
        "mine.txt",
        "text.txt",
    ]
    folder.deliver(intake("a"), settled(State.FAILED, error="malformed", message="no"))
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["mine.txt"]


def test_the_index_is_in_the_order_that_the_files_were_given(tmp_path: Path, store: ObjectStore) -> None:
    folder = OutputFolder(tmp_path, store)
    intakes = [intake("one", "1"), intake("two", "2"), intake("three", "3")]
    folder.refuse(Unreadable(intake=intakes[2], reason="The file cannot be read: gone."))
    folder.deliver(intakes[0], settled())
    lines = folder.write_index(intakes).read_bytes().splitlines()
    assert [msgspec.json.decode(line)["source"] for line in lines] == ["one.pdf", "three.pdf"]
    assert msgspec.json.decode(lines[1])["error"] == "unreadable_file"


def test_a_file_in_place_of_the_folder_is_an_error(tmp_path: Path, store: ObjectStore) -> None:
    folder = OutputFolder(tmp_path, store)
    (tmp_path / "a").write_bytes(b"in the way")
    with pytest.raises(FleetError, match=r"a/(text.txt|document.json) cannot be written: "):
        folder.deliver(intake("a"), settled())
    folder.deliver(intake("a"), settled(State.FAILED, error="malformed", message="no"))
    assert (tmp_path / "a").read_bytes() == b"in the way"
