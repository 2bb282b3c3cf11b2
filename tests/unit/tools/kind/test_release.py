"""`tools.kind.release`: when an installation is given up."""

import json

import pytest

from tests.unit.tools.kind.conftest import Machine
from tools.kind.kind import KindCluster
from tools.kind.release import IMAGE_SECONDS, Hopeless


def pods(machine: Machine, *reasons: str) -> None:
    """Let kubectl say that each container waits for its reason; none: that it is away."""
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


def test_an_image_that_does_not_come_is_given_up_after_a_while(
    this_machine: Machine, hopeless: Hopeless, now: list[float]
) -> None:
    pods(this_machine, "ErrImagePull", "CrashLoopBackOff")
    assert not hopeless()
    now[0] += IMAGE_SECONDS - 1
    pods(this_machine, "ImagePullBackOff", "ContainerCreating")
    assert not hopeless()
    now[0] += 2
    assert hopeless()


def test_one_that_comes_after_all_is_not(this_machine: Machine, hopeless: Hopeless, now: list[float]) -> None:
    pods(this_machine, "ImagePullBackOff")
    assert not hopeless()
    now[0] += IMAGE_SECONDS / 2
    pods(this_machine, "ContainerCreating")
    assert not hopeless()
    now[0] += IMAGE_SECONDS
    pods(this_machine, "ErrImagePull")
    assert not hopeless(), "it counts from anew"


def test_a_cluster_that_does_not_answer_for_a_moment_is_not(
    this_machine: Machine, hopeless: Hopeless
) -> None:
    pods(this_machine)
    assert not hopeless()
