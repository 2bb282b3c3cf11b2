"""`tools.kind.release`: when an installation is abandoned."""

import json

import pytest

from tests.unit.tools.kind.conftest import Machine
from tools.kind.kind import KindCluster
from tools.kind.release import IMAGE_SECONDS, Hopeless


def pods(machine: Machine, *reasons: str) -> None:
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
def hopeless(this_machine: Machine, now: list[float]) -> Hopeless:
    return Hopeless(KindCluster(this_machine.name).kube, clock=lambda: now[0])


def test_an_installation_is_abandoned_if_an_image_stays_missing(
    this_machine: Machine, hopeless: Hopeless, now: list[float]
) -> None:
    pods(this_machine, "ErrImagePull", "CrashLoopBackOff")
    assert not hopeless()
    now[0] += IMAGE_SECONDS - 1
    pods(this_machine, "ImagePullBackOff", "ContainerCreating")
    assert not hopeless()
    now[0] += 2
    assert hopeless()


def test_an_image_that_arrives_restarts_the_clock(
    this_machine: Machine, hopeless: Hopeless, now: list[float]
) -> None:
    pods(this_machine, "ImagePullBackOff")
    assert not hopeless()
    now[0] += IMAGE_SECONDS / 2
    pods(this_machine, "ContainerCreating")
    assert not hopeless()
    now[0] += IMAGE_SECONDS
    pods(this_machine, "ErrImagePull")
    assert not hopeless(), "the clock restarts"


def test_a_cluster_that_does_not_answer_abandons_nothing(this_machine: Machine, hopeless: Hopeless) -> None:
    pods(this_machine)
    assert not hopeless()
