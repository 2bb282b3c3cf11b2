"""Where the CPU time of a fleet goes, by kind of process."""

from collections.abc import Sequence

import msgspec
import psutil  # type: ignore[import-untyped,unused-ignore]  # carries no types


class CpuSeconds(msgspec.Struct, frozen=True, kw_only=True):
    """User and system time."""

    worker: float
    """Main processes of the workers."""
    children: float
    """All that they started: the child that parses, and a prefork pool's processes."""
    server: float
    """Valkey."""

    def since(self, before: "CpuSeconds") -> "CpuSeconds":
        """Return what was used after `before`."""
        return CpuSeconds(
            worker=self.worker - before.worker,
            children=self.children - before.children,
            server=self.server - before.server,
        )

    @property
    def total(self) -> float:
        """Of all of them."""
        return self.worker + self.children + self.server


def cpu_seconds(workers: Sequence[int], server: int) -> CpuSeconds:
    """Measure the processes with these ids, and their descendants, since their start."""
    main = below = 0.0
    for pid in workers:
        process = psutil.Process(pid)
        times = process.cpu_times()
        main += times.user + times.system
        # What has ended since is in the counters of whoever reaped it.
        below += times.children_user + times.children_system
        for child in process.children(recursive=True):
            used = child.cpu_times()
            below += used.user + used.system + used.children_user + used.children_system
    used = psutil.Process(server).cpu_times()
    return CpuSeconds(worker=main, children=below, server=used.user + used.system)
