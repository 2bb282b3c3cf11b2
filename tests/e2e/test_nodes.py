"""Nodes that are drained, and one that stops, in a flood."""

import pytest

from tests.support.documents import slow_document
from tests.support.release import Release, is_ready, node_of, write_json
from tests.support.waiting import wait_for
from tools.kind.command import output


@pytest.mark.alone
def test_a_drained_and_a_stopped_node_cost_nothing(release: Release, synthetic: list[bytes]) -> None:
    nodes = sorted(
        node.metadata.name
        for node in release.core.list_node().items
        if "node-role.kubernetes.io/control-plane" not in node.metadata.labels
    )
    home, drained, stopped = nodes
    # Stateful pods stay on one node: a volume of a kind cluster belongs to its node.
    at_home = [
        f"--set={role}.nodeSelector.kubernetes\\.io/hostname={home}" for role in ("redis", "store", "beat")
    ]
    many = ("--set=workers.pdf.backlogPerReplica=20", "--set=settings.FLEET_PRESENCE_SECONDS=10")
    release.install(*at_home, *many)
    batch_id = release.submit(*synthetic * 2, *[slow_document(15_000)] * 300)
    wait_for(
        lambda: {drained, stopped} <= {node_of(pod) for pod in release.ready("pdf")},
        "workers on both nodes",
        seconds=300,
    )
    try:
        release.kube.run(
            *("drain", drained, "--ignore-daemonsets", "--delete-emptydir-data"),
            *("--pod-selector=app.kubernetes.io/component=worker", "--timeout=180s"),
        )
        assert not release.ledger.batch(batch_id).done
        output("docker", "stop", "--time=0", stopped)
        wait_for(lambda: not node_ready(release, stopped), "the loss of the node", seconds=180)
        counts = release.settled(batch_id, seconds=600)
    finally:
        release.kube.run("uncordon", drained)
        output("docker", "start", stopped)
    wait_for(lambda: node_ready(release, stopped), "the return of the node", seconds=300)
    write_json(release.folder / "nodes.json", counts)
    assert (counts.total, counts.settled, counts.quarantined) == (500, 500, 0)
    assert counts.errors == {"password_required": 4, "malformed": 4}
    assert counts.duplicates <= 5


def node_ready(release: Release, name: str) -> bool:
    return is_ready(release.core.read_node(name))
