"""An uninstalled release leaves its volumes, and the next installation uses them."""

from tests.support.release import Release
from tests.support.waiting import wait_for


def test_an_uninstalled_fleet_leaves_its_volumes_and_the_next_finds_them(
    release: Release, synthetic: list[bytes]
) -> None:
    release.install()
    batch_id = release.submit(*synthetic[:20])
    counts = release.settled(batch_id)
    kept = sorted(release.store.keys(batch_id))
    assert counts.settled == 20
    assert kept
    notes = release.helm("get", "notes", "fleet")
    release.forget_ports()
    release.helm("uninstall", "fleet", "--wait", "--timeout=300s")
    wait_for(lambda: not release.every_pod(), "the end of all pods", seconds=180)
    kinds = "all,configmaps,secrets,serviceaccounts,networkpolicies,pdb,hpa,scaledobjects,triggerauthentications,pvc"
    left = release.kube.items(kinds, f"--namespace={release.namespace}")
    names = {
        f"{one['kind']}/{one['metadata']['name']}"
        for one in left
        if one["metadata"]["name"] not in {"kube-root-ca.crt", "default"}
    }
    volumes = {name for name in names if name.startswith("PersistentVolumeClaim/")}
    assert names == volumes
    assert len(volumes) == 2
    for name in volumes:
        assert name.partition("/")[2] in notes, "the notes name what stays"

    release.install()
    assert release.ledger.batch(batch_id).settled == 20
    assert sorted(release.store.keys(batch_id)) == kept
    again = release.submit(*synthetic[:5])
    assert release.settled(again).settled == 5
