"""Workers that die in a flood, in each way that a cluster knows."""

import random
import threading
from collections import Counter

import pytest
from kubernetes.client.exceptions import ApiException

from app.sandbox.process import CHILD_MODULE
from tests.support.release import Pod, Release, node_of, write_json
from tests.support.waiting import wait_for
from tools.kind.command import CommandError, output

pytestmark = pytest.mark.steady

FLOOD = 6
KILL_WORKER = (
    "for p in $(pgrep -f app.worker); do grep -q $(echo {pod} | tr - .) /proc/$p/cgroup "
    "&& kill -9 $p; done; true"
)
"""Runs on the pod's node, as no process inside can kill PID 1. The cgroup names the pod, with - or _ in its uid."""
KILL_CHILD = (
    f"for d in /proc/[0-9]*; do grep -qs '{CHILD_MODULE[:-1]}[{CHILD_MODULE[-1]}]' $d/cmdline "
    "&& kill -9 ${d#/proc/} && echo killed; done; true"
)
"""Runs in the pod; the brackets keep its own command line from matching."""
ALLOCATE = (
    "import sys\n"
    "open('/proc/1/oom_score_adj', 'w').write('1000')\n"  # so that the kernel chooses the worker
    "held = []\n"
    "while True:\n"
    "    held.append(bytearray(16 * 1024 * 1024))\n"
)


def test_workers_that_are_deleted_killed_and_out_of_memory_lose_nothing(
    release: Release, synthetic: list[bytes]
) -> None:
    release.install(
        "--set=settings.FLEET_PRESENCE_SECONDS=6", "--set-string=settings.FLEET_LOG_LEVEL=WARNING"
    )
    batch_id = release.submit(*synthetic * FLOOD)
    wait_for(lambda: len(release.ready("pdf")) >= 3, "workers", seconds=300)
    chance = random.Random(7)
    done: Counter[str] = Counter()
    pause = threading.Event()
    ways = ("delete", "kill", "sandbox", "memory")
    while not release.ledger.batch(batch_id).done and sum(done.values()) < 16:
        ready = release.ready("pdf")
        if not ready:
            pause.wait(0.5)
            continue
        way = ways[sum(done.values()) % len(ways)]
        done[way] += int(harm(release, chance.choice(ready), way))
        pause.wait(1.0)
    counts = release.settled(batch_id)
    documents = release.documents(batch_id)
    started = sum(document.starts for document in documents)
    write_json(
        release.folder / "kills.json",
        {"harm": done, "counts": counts, "starts": started, "duplicates": counts.duplicates},
    )
    assert all(done[way] for way in ways), done
    total = 100 * FLOOD
    assert (counts.total, counts.settled, counts.quarantined) == (total, total, 0), counts
    assert counts.errors == {"password_required": 2 * FLOOD, "malformed": 2 * FLOOD}
    assert counts.duplicates <= total / 100


def harm(release: Release, pod: Pod, way: str) -> bool:
    """Harm one pod; return whether it, or its child, still existed."""
    try:
        match way:
            case "delete":
                release.delete_pod(pod, force=True)
            case "kill":
                output("docker", "exec", node_of(pod), "sh", "-c", KILL_WORKER.format(pod=pod.metadata.uid))
            case "sandbox":
                return "killed" in release.execute(pod, "sh", "-c", KILL_CHILD)
            case _:
                # The container ends with its PID 1, and this command with it.
                return "NotFound" not in release.execute(pod, "python", "-c", ALLOCATE)
    except (ApiException, CommandError):
        return False
    return True
