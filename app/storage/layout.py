"""Where a document's objects lie and what they hold."""

import msgspec

from app.documents.models import Facts
from app.storage.store import ObjectStore

PAGE_BREAK = "\f"
"""Between the pages of text.txt, as in pdftotext."""


class DocumentSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What a document's index line says of it; kept in the ledger."""

    pages: int = 0
    unreadable_pages: list[int] = []
    characters: int = 0
    ocr_pages: list[int] = []


def original_key(batch_id: str, document_id: str) -> str:
    """Return the key of a document's original.

    A batch's objects share 256 folders rather than having one each: a new folder costs a file system several
    times what a file does, and a folder of millions costs everybody else.
    """
    return f"{batch_id}/{document_id[:2]}/{document_id}.original"


def result_keys(object_key: str) -> dict[str, str]:
    """Return the keys of a document's results, beside its original."""
    stem = object_key.removesuffix(".original")
    names = {"text": "text.txt", "thumbnail": "thumbnail.jpg", "document": "document.json"}
    return {kind: f"{stem}.{name}" for kind, name in names.items()}


def summary_json(facts: Facts) -> bytes:
    """Return the JSON of a document's `DocumentSummary`."""
    return msgspec.json.encode(
        DocumentSummary(
            pages=facts.page_count,
            unreadable_pages=facts.unreadable_pages,
            characters=facts.characters,
            ocr_pages=facts.ocr_pages,
        )
    )


def put_text(store: ObjectStore, key: str, texts: list[str]) -> None:
    """Store the pages' texts as one file; a form feed within a page becomes a line end."""
    joined = PAGE_BREAK.join(text.replace(PAGE_BREAK, "\n") for text in texts)
    store.put(key, joined.encode("utf-8", "replace"))


def get_text(store: ObjectStore, key: str) -> list[str]:
    """Return the pages' texts as they were stored."""
    return store.get(key).decode("utf-8").split(PAGE_BREAK)


def put_facts(store: ObjectStore, key: str, facts: Facts) -> None:
    """Store what is known of a document as its `document.json`."""
    store.put(key, msgspec.json.format(msgspec.json.encode(facts), indent=2))


def get_facts(store: ObjectStore, key: str) -> Facts:
    """Return what `put_facts` stored."""
    return msgspec.json.decode(store.get(key), type=Facts)
