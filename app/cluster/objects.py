"""Deployments, pods and nodes by Kubernetes' field names: only the fields that a watch uses."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import msgspec

QUEUE_LABEL = "pdf-fleet/queue"
HASH_LABEL = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class Kind(StrEnum):
    """Kinds of watched objects."""

    DEPLOYMENT = "deployment"
    POD = "pod"
    NODE = "node"


class _Object(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Part of an object; a field that is null or missing has its default."""


class Metadata(_Object, frozen=True, kw_only=True):
    """Metadata of any object."""

    name: str
    uid: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    creation_timestamp: datetime = LONG_AGO
    deletion_timestamp: datetime | None = None


class Condition(_Object, frozen=True, kw_only=True):
    """Condition of an object: Ready, PodScheduled, DisruptionTarget ..."""

    type: str
    status: str
    reason: str = ""
    message: str = ""


class DeploymentSpec(_Object, frozen=True, kw_only=True):
    """Desired state of a Deployment."""

    replicas: int = 1
    template: dict[str, Any] = {}


class DeploymentStatus(_Object, frozen=True, kw_only=True):
    """Observed state of a Deployment."""

    replicas: int = 0
    ready_replicas: int = 0


class Deployment(_Object, frozen=True, kw_only=True):
    """A worker Deployment."""

    metadata: Metadata
    spec: DeploymentSpec = DeploymentSpec()
    status: DeploymentStatus = DeploymentStatus()

    @property
    def queue(self) -> str:
        """Queue of its workers; empty if it is no worker Deployment of a fleet."""
        labels = self.spec.template.get("metadata", {}).get("labels") or {}
        return self.metadata.labels.get(QUEUE_LABEL) or str(labels.get(QUEUE_LABEL, ""))

    @property
    def images(self) -> str:
        """Images of its pod template, separated by commas."""
        containers = self.spec.template.get("spec", {}).get("containers") or []
        return ", ".join(str(container.get("image", "")) for container in containers)


class Ended(_Object, frozen=True, kw_only=True):
    """How a container ended."""

    exit_code: int = 0
    reason: str = ""


class Waiting(_Object, frozen=True, kw_only=True):
    """Why a container has not started yet."""

    reason: str = ""
    message: str = ""


class ContainerState(_Object, frozen=True, kw_only=True):
    """State of a container; neither field is set while it runs."""

    waiting: Waiting | None = None
    terminated: Ended | None = None


class ContainerStatus(_Object, frozen=True, kw_only=True):
    """Observed state of a container."""

    name: str = ""
    restart_count: int = 0
    state: ContainerState = ContainerState()
    last_state: ContainerState = ContainerState()


class Container(_Object, frozen=True, kw_only=True):
    """Container of a pod's specification."""

    name: str = ""


class PodSpec(_Object, frozen=True, kw_only=True):
    """Node and containers of a pod."""

    node_name: str = ""
    containers: list[Container] = []


class PodStatus(_Object, frozen=True, kw_only=True):
    """Observed state of a pod."""

    phase: str = ""
    reason: str = ""
    conditions: list[Condition] = []
    init_container_statuses: list[ContainerStatus] = []
    container_statuses: list[ContainerStatus] = []


class Pod(_Object, frozen=True, kw_only=True):
    """A pod of a worker or of beat."""

    metadata: Metadata
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    def condition(self, name: str) -> Condition | None:
        """Return the condition of a type, None if the pod does not have it."""
        return next((condition for condition in self.status.conditions if condition.type == name), None)

    @property
    def queue(self) -> str:
        """Queue that it serves; empty if it is no worker of a fleet."""
        return self.metadata.labels.get(QUEUE_LABEL, "")

    @property
    def living(self) -> bool:
        """Whether it counts as a replica: it has neither ended nor been deleted."""
        return self.metadata.deletion_timestamp is None and self.status.phase not in {"Failed", "Succeeded"}

    @property
    def ready(self) -> bool:
        """Whether it is Ready, and so takes messages."""
        condition = self.condition("Ready")
        return self.living and condition is not None and condition.status == "True"

    @property
    def restarts(self) -> int:
        """Restarts of its containers, init containers excluded."""
        return sum(container.restart_count for container in self.status.container_statuses)


class Taint(_Object, frozen=True, kw_only=True):
    """Taint that keeps pods off a node."""

    key: str = ""
    effect: str = ""


class NodeSpec(_Object, frozen=True, kw_only=True):
    """Desired state of a node."""

    unschedulable: bool = False
    taints: list[Taint] = []


class NodeStatus(_Object, frozen=True, kw_only=True):
    """Observed state of a node, and its hardware."""

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
        """Whether its kubelet reports it as Ready."""
        return any(
            condition.type == "Ready" and condition.status == "True" for condition in self.status.conditions
        )

    @property
    def for_workers(self) -> bool:
        """Whether it takes ordinary pods, and not only the control plane's."""
        control_plane = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")
        return not any(
            taint.key in control_plane and taint.effect == "NoSchedule" for taint in self.spec.taints
        )


Object = Deployment | Pod | Node
TYPES: dict[Kind, type[Object]] = {Kind.DEPLOYMENT: Deployment, Kind.POD: Pod, Kind.NODE: Node}


def read(kind: Kind, json: dict[str, Any]) -> Object:
    """Read an object from the JSON of the API server.

    Raises:
        msgspec.ValidationError: The JSON is no object of this kind.
    """
    return msgspec.convert(_without_nulls(json), TYPES[kind])


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(field) for name, field in value.items() if field is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value
