"""State of a fleet on Kubernetes, and the events that changes of its objects mean. Pure."""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from app.cluster.objects import HASH_LABEL, REVISION, Deployment, Kind, Node, Object, Pod
from app.report.timeline import Event, What

JUDGE_SECONDS = 2.0
"""How long a pod's end waits for its cause: Deployments and pods have watches of their own, so the lower number of
replicas may arrive after the end."""
TROUBLES = {
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "CreateContainerError",
    "ErrImageNeverPull",
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "RunContainerError",
}
"""Reasons of a waiting container that do not pass by themselves."""
SAME = {"ErrImagePull": "ImagePullBackOff"}
"""Reasons that alternate while the kubelet retries: reported under one name."""
_LONGEST = 200


@dataclass
class Replicas:
    """Replicas of the workers of one queue."""

    desired: int = 0
    ready: int = 0
    total: int = 0


@dataclass
class _Departure:
    """A pod that ended, and the replicas desired since."""

    t: float
    pod: Pod
    left: int
    """Living pods of its queue without it."""
    desired: int
    """Lowest number of desired replicas since."""


class FleetState:
    """Current objects of a fleet, updated by its watches; call `tick` about once a second.

    All times are seconds since the start of the watch.
    """

    def __init__(self) -> None:
        self.deployments: dict[str, Deployment] = {}
        self.pods: dict[str, Pod] = {}
        self.nodes: dict[str, Node] = {}
        self.seen_workers = False
        self._events: list[Event] = []
        self._departures: list[_Departure] = []
        self._troubles: set[tuple[str, str]] = set()
        self._hosts: set[str] = set()

    @property
    def queues(self) -> dict[str, Replicas]:
        """Replicas by queue, in the order of their Deployments' names."""
        found: dict[str, Replicas] = {}
        for name in sorted(self.deployments):
            deployment = self.deployments[name]
            queue = found.setdefault(deployment.queue, Replicas())
            queue.desired += deployment.spec.replicas
            queue.ready += deployment.status.ready_replicas
            queue.total += deployment.status.replicas
        return found

    @property
    def pods_by_node(self) -> dict[str, dict[str, int]]:
        """Ready pods by node and queue, with every node that takes workers or has had one."""
        names = {name for name, node in self.nodes.items() if node.for_workers} | self._hosts
        found: dict[str, dict[str, int]] = {name: {} for name in sorted(names, key=_natural)}
        for pod in self.pods.values():
            if pod.ready and pod.spec.node_name:
                queues = found[pod.spec.node_name]
                queues[pod.queue] = queues.get(pod.queue, 0) + 1
        return found

    @property
    def at_zero(self) -> bool:
        """Whether no worker is desired and none is left."""
        return bool(self.deployments) and all(
            queue.desired == queue.total == queue.ready == 0 for queue in self.queues.values()
        )

    @property
    def gone(self) -> bool:
        """Whether there were worker Deployments and none is left."""
        return self.seen_workers and not self.deployments

    def events(self) -> list[Event]:
        """Return the events since the last call."""
        found, self._events = self._events, []
        return found

    def replace(self, kind: Kind, objects: Iterable[Object], t: float) -> None:
        """Replace all objects of a kind by a complete list."""
        listed = {item.metadata.name: item for item in objects}
        known: dict[Kind, Collection[str]] = {
            Kind.DEPLOYMENT: self.deployments,
            Kind.POD: self.pods,
            Kind.NODE: self.nodes,
        }
        for name in [name for name in known[kind] if name not in listed]:
            self.remove(kind, name, t)
        for item in listed.values():
            self.put(item, t)

    def put(self, item: Object, t: float) -> None:
        """Add or update an object; one of no queue is ignored, unless it is a node."""
        if isinstance(item, Node):
            self._put_node(item, t)
        elif not item.queue:
            return
        elif isinstance(item, Pod):
            self._put_pod(item, t)
        else:
            self._put_deployment(item, t)

    def remove(self, kind: Kind, name: str, t: float) -> None:
        """Remove an object; an unknown name is ignored."""
        if kind is Kind.DEPLOYMENT and name in self.deployments:
            queue = self.deployments.pop(name).queue
            self._lower_desired(queue)
            self._say(What.FAULT, t, f"Deployment {name} was deleted", queue)
        elif kind is Kind.POD and name in self.pods:
            pod = self.pods.pop(name)
            if pod.living:
                self._departed(pod, t)
        elif kind is Kind.NODE and name in self.nodes:
            del self.nodes[name]
            self._say(What.FAULT, t, f"node {name} has left the cluster")

    def tick(self, t: float) -> None:
        """Decide for pods that ended `JUDGE_SECONDS` ago whether scaling removed them or something else did."""
        due = [departure for departure in self._departures if t - departure.t >= JUDGE_SECONDS]
        self._departures = [departure for departure in self._departures if t - departure.t < JUDGE_SECONDS]
        for departure in due:
            pod = departure.pod
            if departure.left < departure.desired and not self._rolled(pod):
                self._say(What.REPLACED, departure.t, f"pod {_place(pod)} is gone{_why(pod)}", pod.queue)

    def _put_deployment(self, deployment: Deployment, t: float) -> None:
        name, queue = deployment.metadata.name, deployment.queue
        before = self.deployments.get(name)
        self.deployments[name] = deployment
        self.seen_workers = True
        self._lower_desired(queue)
        if before is None:
            return
        if before.spec.replicas != deployment.spec.replicas:
            change = {"before": before.spec.replicas, "after": deployment.spec.replicas}
            self._events.append(Event(t=t, what=What.SCALE, queue=queue, message=name, **change))
        revision = deployment.metadata.annotations.get(REVISION, "")
        if revision != before.metadata.annotations.get(REVISION, revision):
            self._say(What.ROLLOUT, t, f"{name} goes to revision {revision}: {deployment.images}", queue)

    def _put_pod(self, pod: Pod, t: float) -> None:
        before = self.pods.get(pod.metadata.name)
        self.pods[pod.metadata.name] = pod
        if pod.spec.node_name:
            self._hosts.add(pod.spec.node_name)
        # Another uid under the same name is another pod, whose predecessor ended while no watch was connected.
        if before is not None and before.metadata.uid != pod.metadata.uid:
            if before.living:
                self._departed(before, t)
            before = None
        if before is not None:
            if before.living and not pod.living:
                self._departed(pod, t)
            if pod.restarts > before.restarts:
                self._say(What.REPLACED, t, f"pod {_place(pod)} was restarted{_end(pod)}", pod.queue)
        self._report_troubles(pod, t)

    def _put_node(self, node: Node, t: float) -> None:
        name = node.metadata.name
        before = self.nodes.get(name)
        self.nodes[name] = node
        if before is None:
            if not node.ready:
                self._say(What.FAULT, t, f"node {name} is not ready")
            return
        if before.ready != node.ready:
            what = What.RECOVERED if node.ready else What.FAULT
            self._say(what, t, f"node {name} is {'ready again' if node.ready else 'not ready'}")
        if before.spec.unschedulable != node.spec.unschedulable:
            cordoned = node.spec.unschedulable
            change = "takes no new pods (cordoned)" if cordoned else "takes pods again"
            self._say(What.FAULT if cordoned else What.RECOVERED, t, f"node {name} {change}")

    def _report_troubles(self, pod: Pod, t: float) -> None:
        """Report each reason that keeps pods from starting once per queue, until a pod is ready and none is kept."""
        for reason, message in _troubles(pod):
            if (pod.queue, reason) not in self._troubles:
                self._troubles.add((pod.queue, reason))
                sentence = f"pod {_place(pod)} cannot start: {reason}{': ' if message else ''}{message}"
                self._say(What.FAULT, t, sentence[:_LONGEST], pod.queue)
        if pod.ready and not any(_troubles(peer) for peer in self._peers(pod)):
            self._troubles = {trouble for trouble in self._troubles if trouble[0] != pod.queue}

    def _departed(self, pod: Pod, t: float) -> None:
        left = sum(peer.living for peer in self._peers(pod))
        self._departures.append(_Departure(t, pod, left, self._desired(pod.queue)))

    def _lower_desired(self, queue: str) -> None:
        desired = self._desired(queue)
        for departure in self._departures:
            if departure.pod.queue == queue:
                departure.desired = min(departure.desired, desired)

    def _desired(self, queue: str) -> int:
        return self.queues.get(queue, Replicas()).desired

    def _peers(self, pod: Pod) -> list[Pod]:
        """Return all known pods of a pod's queue."""
        return [peer for peer in self.pods.values() if peer.queue == pod.queue]

    def _rolled(self, pod: Pod) -> bool:
        """Whether the youngest pod of its queue is younger and has another template: a rollout replaced the pod."""
        peers = [peer.metadata for peer in self._peers(pod)]
        youngest = max(peers, key=lambda peer: peer.creation_timestamp, default=pod.metadata)
        younger = youngest.creation_timestamp > pod.metadata.creation_timestamp
        return younger and youngest.labels.get(HASH_LABEL, "") != pod.metadata.labels.get(HASH_LABEL, "")

    def _say(self, what: What, t: float, message: str, queue: str | None = None) -> None:
        self._events.append(Event(t=t, what=what, queue=queue, message=message))


def _troubles(pod: Pod) -> list[tuple[str, str]]:
    if not pod.living:
        return []
    containers = [*pod.status.init_container_statuses, *pod.status.container_statuses]
    waits = [container.state.waiting for container in containers if container.state.waiting is not None]
    found = [(SAME.get(wait.reason, wait.reason), wait.message) for wait in waits if wait.reason in TROUBLES]
    scheduled = pod.condition("PodScheduled")
    if scheduled is not None and scheduled.status == "False" and scheduled.reason == "Unschedulable":
        found.append((scheduled.reason, scheduled.message))
    return found


def _place(pod: Pod) -> str:
    return f"{pod.metadata.name} on {pod.spec.node_name}" if pod.spec.node_name else pod.metadata.name


def _end(pod: Pod) -> str:
    """Return reason and exit code of its first container that has ended, in brackets; empty if none has."""
    for container in pod.status.container_statuses:
        ended = container.last_state.terminated or container.state.terminated
        if ended is not None:
            reason = f"{ended.reason}, " if ended.reason else ""
            return f" ({reason}exit {ended.exit_code})"
    return ""


def _why(pod: Pod) -> str:
    disrupted = pod.condition("DisruptionTarget")
    if disrupted is not None and disrupted.reason:
        return f" ({disrupted.reason})"
    return f" ({pod.status.reason})" if pod.status.reason else _end(pod)


def _natural(name: str) -> list[tuple[bool, int, str]]:
    """Return a sort key that puts node-10 behind node-9."""
    parts = re.split(r"([0-9]+)", name)
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]
