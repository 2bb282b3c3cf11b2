"""The generated part of a page, between two markers: `make docs` writes it, people write the rest."""

from pathlib import Path


def filled(page: Path, begin: str, text: str, end: str) -> str:
    """Return the text of `page` with `text` between the markers `begin` and `end`.

    Raises:
        ValueError: if a marker is missing.
    """
    before, found, rest = page.read_text().partition(begin)
    _, ended, after = rest.partition(end)
    if not (found and ended):
        raise ValueError(f"{page} must hold the lines {begin!r} and {end!r}.")
    return f"{before}{begin}\n{text}\n{end}{after}"
