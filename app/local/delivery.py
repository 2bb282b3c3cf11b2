"""The output folder of `fleet process`: each document's results, and index.jsonl with a line per document."""

from collections.abc import Collection
from pathlib import Path

import msgspec

from app.client.intake import Intake, Unreadable
from app.documents.models import ResultKind
from app.errors import FleetError
from app.ledger.models import Document, State
from app.runtime import atomic
from app.storage.layout import RESULT_FILES, DocumentSummary, result_keys
from app.storage.store import ObjectStore

INDEX = "index.jsonl"
UNREADABLE_FILE = "unreadable_file"
"""The error code of a file that cannot be read; it has no entry in the ledger."""


class Delivered(msgspec.Struct, frozen=True, kw_only=True):
    """Paths of a document's results, relative to the output folder; None if there is none."""

    text: str | None = None
    thumbnail: str | None = None


class IndexLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of index.jsonl."""

    source: str
    document_id: str
    state: State
    error: str | None
    message: str | None
    pages: int = 0
    unreadable_pages: list[int] = []
    characters: int = 0
    """Characters of the text layer; document.json has those that OCR adds."""
    ocr_pages: list[int] = []
    attempts: int = 0
    seconds: float = 0.0
    """Time from the first start to the settlement."""
    results: Delivered = Delivered()


class OutputFolder:
    """Writes the results of settled documents and the index.

    It removes an earlier run's results under the same names, so that the folder holds what its index lists.

    Args:
        folder: The output folder; it exists.
        store: Holds the results.
    """

    def __init__(self, folder: Path, store: ObjectStore) -> None:
        self.folder = folder
        self.store = store
        self._lines: dict[str, IndexLine] = {}

    def deliver(self, intake: Intake, document: Document) -> IndexLine:
        """Write a settled document's results and return its index line.

        Raises:
            StorageError: the store fails.
            FleetError: the folder cannot be written.
        """
        summary = msgspec.json.decode(document.summary, type=DocumentSummary)
        written = {}
        if document.state is State.SUCCEEDED:
            keys = result_keys(document.batch, document.document_id)
            for kind in document.results:
                try:
                    content = self.store.get(keys[kind])
                    written[kind] = self._write(f"{intake.name}/{RESULT_FILES[kind]}", content)
                except FileNotFoundError:
                    continue  # deleted meanwhile: its path in the index is null
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
            results=Delivered(text=written.get(ResultKind.TEXT), thumbnail=written.get(ResultKind.THUMBNAIL)),
        )
        self._lines[intake.document_id] = line
        return line

    def refuse(self, unreadable: Unreadable) -> IndexLine:
        """Return the index line of a file that cannot be read."""
        self._clear(unreadable.intake)
        line = IndexLine(
            source=unreadable.intake.source,
            document_id=unreadable.intake.document_id,
            state=State.FAILED,
            error=UNREADABLE_FILE,
            message=unreadable.reason,
        )
        self._lines[unreadable.intake.document_id] = line
        return line

    def write_index(self, intakes: list[Intake]) -> Path:
        """Write index.jsonl, a line per settled document in the order of `intakes`; return its path."""
        lines = [self._lines[intake.document_id] for intake in intakes if intake.document_id in self._lines]
        return self.folder / self._write(INDEX, msgspec.json.Encoder().encode_lines(lines))

    def _clear(self, intake: Intake, *, keep: Collection[str] = ()) -> None:
        place = self.folder / intake.name
        try:
            for kind, name in RESULT_FILES.items():
                if kind not in keep:
                    (place / name).unlink(missing_ok=True)
            if place.is_dir() and not any(place.iterdir()):
                place.rmdir()
        except NotADirectoryError:
            return  # the user has a file of that name
        except OSError as error:
            raise FleetError(f"{place} cannot be written: {error.strerror}.") from None

    def _write(self, name: str, data: bytes) -> str:
        """Write a file atomically and return its name."""
        path = self.folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic.write(path, data)
        except OSError as error:
            raise FleetError(f"{path} cannot be written: {error.strerror}.") from None
        return name
