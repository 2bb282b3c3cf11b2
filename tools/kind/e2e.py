"""`make e2e`: the tests that need the cluster."""

import sys
from collections.abc import Sequence

from tools.kind.command import call
from tools.kind.image import bring
from tools.kind.kind import ROOT, KindCluster

TESTS = ROOT / "tests" / "e2e"
PARALLEL = ("-v", "-n", "2", "--dist", "loadgroup", "--no-loadscope-reorder")
"""A test mostly waits, so two run at a time, each in its own namespace; one with the mark `alone` runs by itself."""


def run(cluster: KindCluster, arguments: Sequence[str] = ()) -> int:
    """Load the image of this source into the cluster and run tests/e2e; return pytest's exit code.

    The tests find the cluster by KIND_CLUSTER. Measurements run only with `-m figures`, and
    long tests with `-m long`.

    Raises:
        ClusterError: The image cannot be built or loaded.
    """
    bring(cluster)
    chosen = () if "-m" in arguments else ("-m", "not figures and not long")
    return call(
        *(sys.executable, "-m", "pytest", str(TESTS), *PARALLEL, *chosen, *arguments),
        extra={"KIND_CLUSTER": cluster.name},
    )
