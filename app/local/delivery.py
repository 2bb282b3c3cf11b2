"""From the ledger and the store to a person's folder: results, and one index line a document."""

from collections.abc import Collection
from pathlib import Path

import msgspec

from app.client.intake import Intake, Unreadable
from app.errors import FleetError, StorageError
from app.ledger.models import Document, State
from app.runtime import atomic
from app.storage.layout import DocumentSummary
from app.storage.store import ObjectStore

FILES = {"text": "text.txt", "thumbnail": "thumbnail.jpg", "document": "document.json"}
INDEX = "index.jsonl"
UNREADABLE_FILE = "unreadable_file"
"""The code of a file that could not be taken in; such a file never becomes a document."""


class Delivered(msgspec.Struct, frozen=True, kw_only=True):
    """Where a document's results lie, relative to the output folder; None where there is none."""

    text: str | None = None
    thumbnail: str | None = None


class IndexLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of index.jsonl."""

    source: str
    document_id: str
    state: State
    error: str | None
    message: str | None
    pages: int
    unreadable_pages: list[int]
    characters: int
    """Of the text layer; what OCR adds stands in document.json."""
    ocr_pages: list[int]
    attempts: int
    seconds: float
    """From the first start to the settlement."""
    results: Delivered


class Delivery:
    """Writes results below `folder` as documents settle, and the index when all is done.

    What an earlier run left under a document's name goes, so that a folder holds what its index line says.

    Args:
        folder: Where; it exists.
        store: Where the results are.
    """

    def __init__(self, folder: Path, store: ObjectStore) -> None:
        self.folder = folder
        self.store = store
        self._lines: dict[str, IndexLine] = {}

    def deliver(self, intake: Intake, document: Document) -> IndexLine:
        """Write one settled document's results and return its index line.

        Raises:
            FleetError: where the store does not answer, or the folder cannot be written.
        """
        summary = msgspec.json.decode(document.summary, type=DocumentSummary)
        written = {}
        if document.state is State.SUCCEEDED:
            for kind, key in document.results.items():
                try:
                    written[kind] = self._write(f"{intake.name}/{FILES[kind]}", self.store.get(key))
                except FileNotFoundError:
                    continue  # deleted meanwhile; the index says null
                except StorageError as error:
                    raise FleetError(error.message) from None
        self._clear(intake, keep=written)
        line = IndexLine(
            source=intake.source,
            document_id=document.document_id,
            state=document.state,
            error=document.error,
            message=document.message,
            pages=summary.pages,
            unreadable_pages=summary.unreadable_pages,
            characters=summary.characters,
            ocr_pages=summary.ocr_pages,
            attempts=document.starts,
            seconds=round((document.finished or 0.0) - (document.started or document.finished or 0.0), 4),
            results=Delivered(text=written.get("text"), thumbnail=written.get("thumbnail")),
        )
        self._lines[intake.document_id] = line
        return line

    def refuse(self, unreadable: Unreadable) -> IndexLine:
        """Return the index line of a file that could not even be taken in."""
        self._clear(unreadable.intake)
        line = IndexLine(
            source=unreadable.intake.source,
            document_id=unreadable.intake.document_id,
            state=State.FAILED,
            error=UNREADABLE_FILE,
            message=unreadable.reason,
            pages=0,
            unreadable_pages=[],
            characters=0,
            ocr_pages=[],
            attempts=0,
            seconds=0.0,
            results=Delivered(),
        )
        self._lines[unreadable.intake.document_id] = line
        return line

    def write_index(self, intakes: list[Intake]) -> Path:
        """Write index.jsonl: a line for every document settled so far, in the order the files were given."""
        lines = [self._lines[intake.document_id] for intake in intakes if intake.document_id in self._lines]
        data = b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
        self._write(INDEX, data)
        return self.folder / INDEX

    def _clear(self, intake: Intake, *, keep: Collection[str] = ()) -> None:
        place = self.folder / intake.name
        try:
            for kind, name in FILES.items():
                if kind not in keep:
                    (place / name).unlink(missing_ok=True)
            if place.is_dir() and not any(place.iterdir()):
                place.rmdir()
        except NotADirectoryError:
            return  # a file of that name, and not ours
        except OSError as error:
            raise FleetError(f"{place} cannot be written: {error.strerror}.") from None

    def _write(self, name: str, data: bytes) -> str:
        """Write a file whole or not at all."""
        path = self.folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic.write(path, data)
        except OSError as error:
            raise FleetError(f"{path} cannot be written: {error.strerror}.") from None
        return name
