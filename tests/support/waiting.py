"""Waiting for conditions of other processes: these can only be polled."""

import time
from collections.abc import Callable
from typing import TypeVar

TIMEOUT_SECONDS = 180.0
Found = TypeVar("Found")


def wait_for(condition: Callable[[], Found | None], what: str, *, seconds: float = TIMEOUT_SECONDS) -> Found:
    """Poll `condition` until it holds; return its value."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited {seconds:g} s in vain for {what}"
        time.sleep(0.02)
    return found


def stays(condition: Callable[[], object], what: str, *, seconds: float, pause: float = 2.0) -> None:
    """Poll `condition` for a while, and assert that it holds each time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert condition(), f"{what}: no longer true"
        time.sleep(pause)
