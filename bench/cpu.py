"""CPU time of a fleet by kind of process."""

from collections.abc import Sequence

import msgspec
import psutil  # type: ignore[import-untyped,unused-ignore]  # carries no types


class CpuSeconds(msgspec.Struct, frozen=True, kw_only=True):
    """User and system time, in seconds."""

    worker: float
    """Main processes of the workers."""
    children: float
    """All processes that the workers started: the sandbox children."""
    server: float
    """Valkey."""

    def since(self, before: "CpuSeconds") -> "CpuSeconds":
        """Return the CPU time used since `before`."""
        return CpuSeconds(
            worker=self.worker - before.worker,
            children=self.children - before.children,
            server=self.server - before.server,
        )

    @property
    def total(self) -> float:
        """CPU time of all of them."""
        return self.worker + self.children + self.server


def cpu_seconds(workers: Sequence[int], server: int) -> CpuSeconds:
    """Measure the processes with these ids, and their descendants, since their start."""
    main = below = 0.0
    for pid in workers:
        process = psutil.Process(pid)
        times = process.cpu_times()
        main += times.user + times.system
        # The CPU time of a process that has ended is in its parent's counters.
        below += times.children_user + times.children_system
        for child in process.children(recursive=True):
            used = child.cpu_times()
            below += used.user + used.system + used.children_user + used.children_system
    used = psutil.Process(server).cpu_times()
    return CpuSeconds(worker=main, children=below, server=used.user + used.system)
