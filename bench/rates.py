"""Rates in documents per second, from the times at which documents were finished."""

from collections.abc import Sequence

STEADY = (0.05, 0.95)
"""The shares of documents between which the rate is steady: before the first, workers warm up; after the second, some
have no work left. Neither phase shows how many documents an hour a working fleet reads."""


def whole_rate(began: float, finished: Sequence[float]) -> float:
    """Return documents/s from `began` (s) to the last of `finished` (s)."""
    return len(finished) / (max(finished) - began)


def steady_rate(finished: Sequence[float]) -> float:
    """Return documents/s between the `STEADY` shares of `finished` (s, in any order).

    Raises:
        ValueError: for fewer than ten documents, which have no steady state.
    """
    if len(finished) < 10:
        raise ValueError("A steady rate needs ten documents or more.")
    ordered = sorted(finished)
    first, last = (int(share * (len(ordered) - 1)) for share in STEADY)
    return (last - first) / (ordered[last] - ordered[first])
