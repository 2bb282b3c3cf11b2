"""The part of a page that is written by `make docs`, between two markers; the rest is written by hand."""

from pathlib import Path


def filled(page: Path, begin: str, text: str, end: str) -> str:
    """Return a page with `text` between its two markers.

    Raises:
        ValueError: where a marker is missing.
    """
    before, found, rest = page.read_text().partition(begin)
    _, ended, after = rest.partition(end)
    if not (found and ended):
        raise ValueError(f"{page} must hold the lines {begin!r} and {end!r}.")
    return f"{before}{begin}\n{text}\n{end}{after}"
