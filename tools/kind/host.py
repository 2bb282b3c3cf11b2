"""What the machine under docker must have free before a cluster is made on it."""

import shutil
from pathlib import Path

from tools.kind.command import ClusterError, output, say

GIB = 1024**3
MEMORY_BYTES = 3 * GIB
"""Four nodes with KEDA take 1.6 GB, the fleet at its largest another 1.2."""
DISK_BYTES = 8 * GIB
"""A GB a node, the node image, and the fleet's image once in docker and once in each node."""
WATCHES = 512
"""inotify instances: each node's systemd, kubelet and containerd take some, and a common default is 128."""
MEMINFO = Path("/proc/meminfo")
INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")


def check_room(meminfo: Path = MEMINFO, inotify: Path = INOTIFY) -> None:
    """Refuse to make a cluster that would not fit; warn of what often stops a node.

    Docker's own machine (Docker Desktop) is asked for its size, as its free memory cannot be seen from here.

    Raises:
        ClusterError: with what there is, what is needed, and the way out.
    """
    total, folder = output("docker", "info", "--format", "{{.MemTotal}} {{.DockerRootDir}}").split(" ", 1)
    memory = min(int(total), available_bytes(meminfo) or int(total))
    if memory < MEMORY_BYTES:
        raise ClusterError(
            f"docker has {memory / GIB:.1f} GiB of memory free and four nodes with a fleet need "
            f"{MEMORY_BYTES / GIB:.0f}: end other programs, or give Docker Desktop more (Settings, Resources)."
        )
    root = Path(folder.strip())
    if root.is_dir():  # elsewhere it is inside docker's own machine
        free = shutil.disk_usage(root).free
        if free < DISK_BYTES:
            raise ClusterError(
                f"{root} has {free / GIB:.1f} GiB free and four nodes with their images need "
                f"{DISK_BYTES / GIB:.0f}: make room, for example with `docker system prune`."
            )
    if inotify.exists() and (instances := int(inotify.read_text())) < WATCHES:
        say(
            f"Note: fs.inotify.max_user_instances is {instances}; where a node does not start, raise it:\n"
            f"  sudo sysctl fs.inotify.max_user_instances={WATCHES} fs.inotify.max_user_watches=524288"
        )


def available_bytes(meminfo: Path) -> int | None:
    """Return the memory that programs can still have, or None where the system does not tell."""
    if not meminfo.exists():
        return None
    for line in meminfo.read_text().splitlines():
        name, _, rest = line.partition(":")
        if name == "MemAvailable":
            return int(rest.split()[0]) * 1024
    return None
