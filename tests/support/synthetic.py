"""Synthetic documents of seed 7, by their numbers."""

from pathlib import Path

from app.producer.synthesis import synthesise

GOOD, SCAN, ENCRYPTED, MALFORMED, IMAGE = 0, 3, 13, 29, 33
"""The first number of each kind."""


def document(number: int) -> bytes:
    return synthesise(7, number).data


def folder_of(place: Path, *numbers: int) -> Path:
    """Write synthetic documents into a folder, named by their numbers."""
    place.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        (place / f"{number:04}.pdf").write_bytes(document(number))
    return place
