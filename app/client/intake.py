"""Intake of files: the files that paths name, a unique name for each, and their originals in the store."""

import os
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from app.errors import UsageError
from app.ledger.message import derived_id, new_id
from app.ledger.models import Options, Submission
from app.storage.layout import original_key
from app.storage.store import ObjectStore

MAX_NAME_BYTES = 200
"""Longest name in bytes; file systems allow 255, and `named` may append a number."""


class Intake(msgspec.Struct, frozen=True, kw_only=True):
    """A file to be processed."""

    path: Path
    source: str
    """The path as given, in printable characters."""
    name: str
    """Unique in its batch; names the folder of its results."""
    document_id: str


def expand(paths: Iterable[Path], *, skip: Path | None = None) -> list[Path]:
    """Return the files that `paths` name: each file, and all files below each folder except hidden ones.

    Args:
        paths: Files and folders.
        skip: The output folder, whose files are left out.

    Raises:
        UsageError: a path does not exist, cannot be listed, or is `skip` itself.
    """
    found: dict[Path, None] = {}
    avoid = skip.resolve() if skip is not None else None
    for path in paths:
        if path.resolve() == avoid:
            raise UsageError(
                f"The output folder {_printable(path)} is also an input: choose another --output."
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
    """Return the files, each with a unique name: its stem, and a number if another file has that name.

    Names are compared without regard to case and Unicode form, as macOS and Windows do.

    Args:
        paths: The files.
        batch_id: The batch from which, with the names, the documents' ids are derived; None: the ids are random.
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
    """A file that cannot be read, and the reason."""

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
    """Put each file's bytes into the store and yield its submission.

    Args:
        intakes: The files.
        store: Gets the originals.
        batch_id: Names the originals' folder in the store.
        options: How each document is processed.
        max_bytes: Of a larger file only `max_bytes` + 1 bytes are stored: enough for the worker to refuse it.
        refused: Gets the files that cannot be read.

    Raises:
        StorageError: the store fails.
    """
    for intake in intakes:
        try:
            with intake.path.open("rb") as file:
                data = file.read(max_bytes + 1)
        except OSError as error:
            refused.append(Unreadable(intake=intake, reason=f"The file cannot be read: {error.strerror}."))
            continue
        key = original_key(batch_id, intake.document_id)
        store.put(key, data)
        yield Submission(document_id=intake.document_id, source=intake.source, options=options)
