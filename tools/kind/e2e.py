"""`make e2e`: the tests that need the cluster."""

import sys
from collections.abc import Sequence

from tools.kind.command import follow
from tools.kind.image import bring
from tools.kind.kind import ROOT, KindCluster

TESTS = ROOT / "tests" / "e2e"
BESIDE = ("-v", "-n", "2", "--dist", "loadgroup", "--no-loadscope-reorder")
"""Most of a test is waiting: two at a time, each in a namespace of its own; those marked `alone` see to it."""


def run(cluster: KindCluster, arguments: Sequence[str] = ()) -> int:
    """Bring the image of this source to the cluster and run tests/e2e; return pytest's exit code.

    The tests find the cluster by KIND_CLUSTER. What takes long and only measures (`-m figures`) runs when it is
    asked for.

    Raises:
        ClusterError: the image cannot be built or brought there.
    """
    bring(cluster)
    chosen = () if "-m" in arguments else ("-m", "not figures")
    return follow(
        *(sys.executable, "-m", "pytest", str(TESTS), *BESIDE, *chosen, *arguments),
        extra={"KIND_CLUSTER": cluster.name},
    )
