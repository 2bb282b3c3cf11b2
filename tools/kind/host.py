"""Free memory, disk space and inotify instances that a cluster needs on docker's machine."""

import shutil
from pathlib import Path

from tools.kind.command import ClusterError, output, say

GIB = 1024**3
MEMORY_BYTES = 3 * GIB
"""Four nodes with KEDA use 1.6 GB, the fleet at its largest another 1.2 GB."""
DISK_BYTES = 8 * GIB
"""1 GB per node, the node image, and the fleet's image once in docker and once in each node."""
WATCHES = 512
"""inotify instances: each node's systemd, kubelet and containerd use some, and a common default is 128."""
MEMINFO = Path("/proc/meminfo")
INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")


def check_room(meminfo: Path = MEMINFO, inotify: Path = INOTIFY) -> None:
    """Check that the machine has room for a cluster; print a note if inotify instances are few.

    Docker Desktop runs a machine of its own: this sees its total memory, not its free memory.

    Raises:
        ClusterError: Too little memory or disk space; with the amounts and what to do.
    """
    total, folder = output("docker", "info", "--format", "{{.MemTotal}} {{.DockerRootDir}}").split(" ", 1)
    memory = min(int(total), available_bytes(meminfo) or int(total))
    if memory < MEMORY_BYTES:
        raise ClusterError(
            f"docker has {memory / GIB:.1f} GiB of memory free and four nodes with a fleet need "
            f"{MEMORY_BYTES / GIB:.0f}: end other programs, or give Docker Desktop more (Settings, Resources)."
        )
    root = Path(folder.strip())
    if root.is_dir():  # otherwise it is inside docker's own machine
        free = shutil.disk_usage(root).free
        if free < DISK_BYTES:
            raise ClusterError(
                f"{root} has {free / GIB:.1f} GiB free and four nodes with their images need "
                f"{DISK_BYTES / GIB:.0f}: make room, for example with `docker system prune`."
            )
    if inotify.exists() and (instances := int(inotify.read_text())) < WATCHES:
        say(
            f"Note: fs.inotify.max_user_instances is {instances}; if a node does not start, raise it:\n"
            f"  sudo sysctl fs.inotify.max_user_instances={WATCHES} fs.inotify.max_user_watches=524288"
        )


def available_bytes(meminfo: Path) -> int | None:
    """Return the memory available to programs in bytes, None if the system does not report it."""
    if not meminfo.exists():
        return None
    for line in meminfo.read_text().splitlines():
        name, _, rest = line.partition(":")
        if name == "MemAvailable":
            return int(rest.split()[0]) * 1024
    return None
