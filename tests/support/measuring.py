"""Whether a test's processes measure their coverage: that costs each of them two thirds more, so few do."""

import os
import signal
from collections.abc import Mapping, Sequence

import pytest

from app.runtime.signals import ENDING

VARIABLE = "COVERAGE_PROCESS_CONFIG"
_FOUND = pytest.StashKey[str]()


def measure_where_marked(item: pytest.Item) -> None:
    """Let the processes of a `counted` test measure their coverage, and those of no other."""
    # Each time, as coverage sets it whenever it starts, and pytest-cov starts it anew after a test of `no_cover`.
    found = os.environ.pop(VARIABLE, "")
    if found:
        item.config.stash[_FOUND] = found
    if item.get_closest_marker("counted") and _FOUND in item.config.stash:
        os.environ[VARIABLE] = item.config.stash[_FOUND]


def would_hang(command: Sequence[object], environment: Mapping[str, str], number: signal.Signals) -> bool:
    """Whether a command of `fleet` may never end when it is sent `number`.

    Coverage takes a lock at each call of a function. Where a signal's handler raises in the middle of that, the lock is
    held for ever, and the next call waits for it: of processes that are busy, one in three. Those of `fleet worker` do
    not raise.
    """
    return VARIABLE in environment and number in ENDING and "worker" not in command
