"""Process pool for making documents; its processes never outlive the one that started them."""

import multiprocessing
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import resource_tracker

from app.runtime.lifeline import when_it_ends


@contextmanager
def pool(processes: int) -> Iterator[ProcessPoolExecutor]:
    """Yield a pool of fresh processes; at the end, cancel the calls that have not started and wait for the others.

    The processes are spawned, not forked: the caller may have threads (a live display) and an object store's runtime.
    """
    executor = ProcessPoolExecutor(
        max_workers=processes, mp_context=multiprocessing.get_context("spawn"), initializer=_prepare
    )
    try:
        yield executor
    finally:
        executor.shutdown(wait=True, cancel_futures=True)
        # multiprocessing's own helper process would end a moment after this one; Python has no public way to stop it.
        resource_tracker._resource_tracker._stop()  # type: ignore[attr-defined]  # noqa: SLF001


def _prepare() -> None:
    """Leave Ctrl-C to the parent, which shuts the pool down in order, and exit if the parent is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        when_it_ends(parent.sentinel, lambda: os._exit(1))
