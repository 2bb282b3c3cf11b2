"""Keys and contents of a document's objects in the store."""

from typing import TYPE_CHECKING

import msgspec

from app.documents.models import Facts, ResultKind

if TYPE_CHECKING:
    from app.storage.store import ObjectStore

PAGE_BREAK = "\f"
"""Separates the pages in text.txt, as in pdftotext."""
RESULT_FILES = {
    ResultKind.TEXT: "text.txt",
    ResultKind.THUMBNAIL: "thumbnail.jpg",
    ResultKind.DOCUMENT: "document.json",
}
"""File name of each kind of result."""


class DocumentSummary(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    rename={"pages": "p", "unreadable_pages": "u", "characters": "c", "ocr_pages": "o"},
):
    """The facts of a document that the ledger keeps for its line in index.jsonl; short names save its memory."""

    pages: int = 0
    unreadable_pages: list[int] = []
    characters: int = 0
    ocr_pages: list[int] = []


def original_key(batch_id: str, document_id: str) -> str:
    """Return the key of a document's original.

    The objects of a batch share 256 folders: creating a folder costs a file system several times as much as
    creating a file, and a folder with millions of entries is slow for every program that opens it.
    """
    return f"{batch_id}/{document_id[:2]}/{document_id}.original"


def result_keys(batch_id: str, document_id: str) -> dict[ResultKind, str]:
    """Return the keys of a document's results by kind; they lie beside its original."""
    stem = original_key(batch_id, document_id).removesuffix(".original")
    return {kind: f"{stem}.{name}" for kind, name in RESULT_FILES.items()}


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


def put_text(store: "ObjectStore", key: str, texts: list[str]) -> None:
    """Store the text of all pages as one UTF-8 object; a form feed within a page becomes a line feed."""
    joined = PAGE_BREAK.join(text.replace(PAGE_BREAK, "\n") for text in texts)
    store.put(key, joined.encode("utf-8", "replace"))


def get_text(store: "ObjectStore", key: str) -> list[str]:
    """Return the text of each page, as `put_text` stored it."""
    return store.get(key).decode("utf-8").split(PAGE_BREAK)


def put_facts(store: "ObjectStore", key: str, facts: Facts) -> None:
    """Store a document's facts as its `document.json`."""
    store.put(key, msgspec.json.format(msgspec.json.encode(facts), indent=2))


def get_facts(store: "ObjectStore", key: str) -> Facts:
    """Return a document's facts, as `put_facts` stored them."""
    return msgspec.json.decode(store.get(key), type=Facts)
