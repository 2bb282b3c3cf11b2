"""From paths to documents: which files are meant, what each is called, and their originals in the store."""

import os
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from app.errors import FleetError, StorageError, UsageError
from app.ledger.message import derived_id, new_id
from app.ledger.models import Options, Submission
from app.storage.layout import original_key
from app.storage.store import ObjectStore

MAX_NAME_BYTES = 200
"""File systems allow 255; the rest is left for what tells two apart."""


class Intake(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a person's: where it lies and the folder name that its results get."""

    path: Path
    source: str
    """The path as it was given, printable."""
    name: str
    document_id: str


def expand(paths: Iterable[Path], *, skip: Path | None = None) -> list[Path]:
    """Return the files that `paths` mean: a file is itself, a folder all files below it but hidden ones.

    Args:
        paths: Files and folders.
        skip: A folder not to look into: the one that results go to.

    Raises:
        UsageError: for a path that does not exist or cannot be listed, or that is `skip` itself.
    """
    found: dict[Path, None] = {}
    avoid = skip.resolve() if skip is not None else None
    for path in paths:
        if path.resolve() == avoid:
            raise UsageError(
                f"{_printable(path)} is to be read and written: choose another folder for the results."
            )
        if path.is_dir():
            found.update(dict.fromkeys(_below(path, avoid)))
        elif path.is_file():
            found[path] = None
        elif path.exists():
            raise UsageError(f"{_printable(path)} is neither a file nor a folder.")
        else:
            raise UsageError(f"{_printable(path)} does not exist.")
    return list(found)


def _below(folder: Path, avoid: Path | None) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise UsageError(f"The folder {error.filename} cannot be read: {error.strerror}.")

    for root, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and (avoid is None or (Path(root) / name).resolve() != avoid)
        )
        for name in sorted(names):
            path = Path(root) / name
            if not name.startswith(".") and path.is_file():
                yield path


def _printable(path: Path) -> str:
    return os.fsencode(path).decode("utf-8", "replace")


def named(paths: Iterable[Path], *, batch_id: str | None = None) -> list[Intake]:
    """Give each file a name that no other has: its stem, numbered where two would fall together.

    Names are told apart without regard to case and Unicode form, as macOS and Windows do.

    Args:
        paths: The files.
        batch_id: Where it is given the documents' ids follow from it and their names; else they are random.
    """
    taken: set[str] = set()
    intakes = []
    for path in paths:
        stem = _printable(Path(path.stem)).replace("\0", "").strip() or "document"
        stem = stem.encode()[:MAX_NAME_BYTES].decode("utf-8", "ignore")
        if stem in {".", ".."}:
            stem = "document"
        name, number = stem, 1
        while (folded := unicodedata.normalize("NFC", name).casefold()) in taken or folded == "index.jsonl":
            number += 1
            name = f"{stem}-{number}"
        taken.add(folded)
        document_id = new_id() if batch_id is None else derived_id(batch_id, name)
        intakes.append(Intake(path=path, source=_printable(path), name=name, document_id=document_id))
    return intakes


class Unreadable(msgspec.Struct, frozen=True, kw_only=True):
    """A file that could not be taken in, and why."""

    intake: Intake
    reason: str


def submissions(
    intakes: Iterable[Intake],
    store: ObjectStore,
    *,
    batch_id: str,
    options: Options,
    max_bytes: int,
    refused: list[Unreadable],
) -> Iterator[Submission]:
    """Put each file's bytes into the store and yield what the ledger is to open.

    A file that cannot be read goes to `refused` and the rest goes on. Of a file over `max_bytes` only so much
    is stored as shows that it is too large.

    Raises:
        FleetError: where the store takes nothing any more.
    """
    for intake in intakes:
        try:
            with intake.path.open("rb") as file:
                data = file.read(max_bytes + 1)
        except OSError as error:
            refused.append(Unreadable(intake=intake, reason=f"The file cannot be read: {error.strerror}."))
            continue
        key = original_key(batch_id, intake.document_id)
        try:
            store.put(key, data)
        except StorageError as error:
            raise FleetError(error.message) from None
        yield Submission(
            document_id=intake.document_id, source=intake.source, object_key=key, options=options
        )
