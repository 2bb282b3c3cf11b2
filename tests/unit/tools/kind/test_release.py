"""`tools.kind.release`: when an installation is abandoned."""

import json

import pytest

from tools.kind.kind import KindCluster
from tools.kind.release import IMAGE_SECONDS, Hopeless


def pods(machine, *reasons: str) -> None:
    """Let kubectl report one waiting container per reason; without reasons it fails."""
    items = [
        {
            "metadata": {"name": f"fleet-{number}"},
            "status": {"initContainerStatuses": [{"name": "main", "state": {"waiting": {"reason": reason}}}]},
        }
        for number, reason in enumerate(reasons)
    ]
    machine.put("kubectl", answer=f"echo '{json.dumps({'items': items})}'" if reasons else "exit 1")


@pytest.fixture
def now() -> list[float]:
    return [100.0]


@pytest.fixture
def hopeless(here, now: list[float]) -> Hopeless:
    return Hopeless(KindCluster(here.name).kube, clock=lambda: now[0])


def test_an_installation_is_abandoned_if_an_image_stays_missing(here, hopeless, now: list[float]) -> None:
    pods(here, "ErrImagePull", "CrashLoopBackOff")
    assert not hopeless()
    now[0] += IMAGE_SECONDS - 1
    pods(here, "ImagePullBackOff", "ContainerCreating")
    assert not hopeless()
    now[0] += 2
    assert hopeless()


def test_an_image_that_arrives_restarts_the_clock(here, hopeless, now: list[float]) -> None:
    pods(here, "ImagePullBackOff")
    assert not hopeless()
    now[0] += IMAGE_SECONDS / 2
    pods(here, "ContainerCreating")
    assert not hopeless()
    now[0] += IMAGE_SECONDS
    pods(here, "ErrImagePull")
    assert not hopeless(), "the clock restarts"


def test_a_cluster_that_does_not_answer_abandons_nothing(here, hopeless) -> None:
    pods(here)
    assert not hopeless()
