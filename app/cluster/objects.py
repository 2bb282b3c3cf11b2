"""What is read of the objects that Kubernetes sends, by its own names; everything else in them is passed over."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import msgspec

QUEUE_LABEL = "pdf-fleet/queue"
HASH_LABEL = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class Kind(StrEnum):
    """The kinds of objects that are watched."""

    DEPLOYMENT = "deployment"
    POD = "pod"
    NODE = "node"


class _Object(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A part of an object; what is null or missing has its default."""


class Metadata(_Object, frozen=True, kw_only=True):
    """What every object has."""

    name: str
    uid: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    creation_timestamp: datetime = LONG_AGO
    deletion_timestamp: datetime | None = None


class Condition(_Object, frozen=True, kw_only=True):
    """One of an object's conditions: Ready, PodScheduled, DisruptionTarget ..."""

    type: str
    status: str
    reason: str = ""
    message: str = ""


class DeploymentSpec(_Object, frozen=True, kw_only=True):
    """What a Deployment is asked for."""

    replicas: int = 1
    template: dict[str, Any] = {}


class DeploymentStatus(_Object, frozen=True, kw_only=True):
    """What a Deployment has."""

    replicas: int = 0
    ready_replicas: int = 0


class Deployment(_Object, frozen=True, kw_only=True):
    """A worker Deployment."""

    metadata: Metadata
    spec: DeploymentSpec = DeploymentSpec()
    status: DeploymentStatus = DeploymentStatus()

    @property
    def queue(self) -> str:
        """The queue that its workers serve; empty where it is no worker of ours."""
        labels = self.spec.template.get("metadata", {}).get("labels") or {}
        return self.metadata.labels.get(QUEUE_LABEL) or str(labels.get(QUEUE_LABEL, ""))

    @property
    def images(self) -> str:
        """The images of its template."""
        containers = self.spec.template.get("spec", {}).get("containers") or []
        return ", ".join(str(container.get("image", "")) for container in containers)


class Ended(_Object, frozen=True, kw_only=True):
    """How a container ended."""

    exit_code: int = 0
    reason: str = ""


class Waiting(_Object, frozen=True, kw_only=True):
    """Why a container does not run yet."""

    reason: str = ""
    message: str = ""


class ContainerState(_Object, frozen=True, kw_only=True):
    """One of the three is there; running is of no interest here."""

    waiting: Waiting | None = None
    terminated: Ended | None = None


class ContainerStatus(_Object, frozen=True, kw_only=True):
    """One container of a pod."""

    name: str = ""
    restart_count: int = 0
    state: ContainerState = ContainerState()
    last_state: ContainerState = ContainerState()


class Container(_Object, frozen=True, kw_only=True):
    """One container that a pod asks for."""

    name: str = ""


class PodSpec(_Object, frozen=True, kw_only=True):
    """Where a pod was put, and of what it consists."""

    node_name: str = ""
    containers: list[Container] = []


class PodStatus(_Object, frozen=True, kw_only=True):
    """How a pod does."""

    phase: str = ""
    reason: str = ""
    conditions: list[Condition] = []
    init_container_statuses: list[ContainerStatus] = []
    container_statuses: list[ContainerStatus] = []


class Pod(_Object, frozen=True, kw_only=True):
    """A worker's pod."""

    metadata: Metadata
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    def condition(self, name: str) -> Condition | None:
        """Return one of its conditions."""
        return next((one for one in self.status.conditions if one.type == name), None)

    @property
    def queue(self) -> str:
        """The queue that it serves; empty where it is no worker of ours."""
        return self.metadata.labels.get(QUEUE_LABEL, "")

    @property
    def living(self) -> bool:
        """Whether it counts as a replica: it has not ended and is not to end."""
        return self.metadata.deletion_timestamp is None and self.status.phase not in {"Failed", "Succeeded"}

    @property
    def ready(self) -> bool:
        """Whether it takes messages."""
        condition = self.condition("Ready")
        return self.living and condition is not None and condition.status == "True"

    @property
    def restarts(self) -> int:
        """How often its containers were started again."""
        return sum(container.restart_count for container in self.status.container_statuses)


class Taint(_Object, frozen=True, kw_only=True):
    """What keeps pods off a node."""

    key: str = ""
    effect: str = ""


class NodeSpec(_Object, frozen=True, kw_only=True):
    """What a node is asked for."""

    unschedulable: bool = False
    taints: list[Taint] = []


class NodeStatus(_Object, frozen=True, kw_only=True):
    """How a node does, and what it has."""

    conditions: list[Condition] = []
    capacity: dict[str, str] = {}
    node_info: dict[str, Any] = {}


class Node(_Object, frozen=True, kw_only=True):
    """A node of the cluster."""

    metadata: Metadata
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()

    @property
    def ready(self) -> bool:
        """Whether it answers."""
        return any(one.type == "Ready" and one.status == "True" for one in self.status.conditions)

    @property
    def for_workers(self) -> bool:
        """Whether it is there for workers, and not for the control plane alone."""
        own = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")
        return not any(taint.key in own and taint.effect == "NoSchedule" for taint in self.spec.taints)


TYPES: dict[Kind, type[Deployment] | type[Pod] | type[Node]] = {
    Kind.DEPLOYMENT: Deployment,
    Kind.POD: Pod,
    Kind.NODE: Node,
}


def read(kind: Kind, given: dict[str, Any]) -> Deployment | Pod | Node:
    """Read an object as the API server sent it.

    Raises:
        msgspec.ValidationError: it is no such object.
    """
    return msgspec.convert(_without_nulls(given), TYPES[kind])


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(one) for name, one in value.items() if one is not None}
    if isinstance(value, list):
        return [_without_nulls(one) for one in value]
    return value
