"""What a fleet on Kubernetes looks like, kept from what the watches tell; and what happened in it. Pure."""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from app.cluster.objects import HASH_LABEL, REVISION, Deployment, Kind, Node, Pod
from app.report.timeline import Event, What

JUDGE_SECONDS = 2.0
"""How long a pod's end waits for its explanation: a lower number of replicas may arrive after it, as Deployments
and pods come by watches of their own."""
NO_IMAGE = {"ErrImageNeverPull", "ErrImagePull", "ImagePullBackOff", "InvalidImageName"}
"""Why a container waits whose image cannot be had."""
TROUBLES = NO_IMAGE | {
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
}
"""Why a container does not start, where waiting longer will not help by itself."""
SAME = {"ErrImagePull": "ImagePullBackOff"}
"""Between two tries the one is the other."""
_LONGEST = 200

Object = Deployment | Pod | Node


@dataclass
class Replicas:
    """The workers of one queue."""

    asked: int = 0
    ready: int = 0
    total: int = 0


@dataclass
class _Departure:
    """A pod that ended, and what was asked for since."""

    t: float
    pod: Pod
    left: int
    """Living pods of its queue without it."""
    asked: int
    """The least that was asked for since."""


class FleetState:
    """Takes in each object that a watch tells of; call `tick` about once a second.

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

    # What there is.

    @property
    def queues(self) -> dict[str, Replicas]:
        """Replicas by queue, in the order of their Deployments' names."""
        found: dict[str, Replicas] = {}
        for name in sorted(self.deployments):
            one = self.deployments[name]
            queue = found.setdefault(one.queue, Replicas())
            queue.asked += one.spec.replicas
            queue.ready += one.status.ready_replicas
            queue.total += one.status.replicas
        return found

    @property
    def pods_by_node(self) -> dict[str, dict[str, int]]:
        """Ready pods by node and queue; every node that is for workers, or had one, is there."""
        names = {name for name, node in self.nodes.items() if node.for_workers} | self._hosts
        found: dict[str, dict[str, int]] = {name: {} for name in sorted(names, key=_natural)}
        for pod in self.pods.values():
            if pod.ready and pod.spec.node_name:
                queues = found[pod.spec.node_name]
                queues[pod.queue] = queues.get(pod.queue, 0) + 1
        return found

    @property
    def at_zero(self) -> bool:
        """Whether no worker is asked for, and none is there."""
        return bool(self.deployments) and all(
            queue.asked == queue.total == queue.ready == 0 for queue in self.queues.values()
        )

    @property
    def gone(self) -> bool:
        """Whether there were workers' Deployments, and none is left."""
        return self.seen_workers and not self.deployments

    def events(self) -> list[Event]:
        """Return what happened since the last call."""
        found, self._events = self._events, []
        return found

    # What the watches tell.

    def replace(self, kind: Kind, objects: Iterable[Object], t: float) -> None:
        """Take in a list of all objects of a kind: what is not in it is gone."""
        given = {one.metadata.name: one for one in objects}
        known: dict[Kind, Collection[str]] = {
            Kind.DEPLOYMENT: self.deployments,
            Kind.POD: self.pods,
            Kind.NODE: self.nodes,
        }
        for name in [name for name in known[kind] if name not in given]:
            self.remove(kind, name, t)
        for one in given.values():
            self.put(one, t)

    def put(self, one: Object, t: float) -> None:
        """Take in an object that is new, or has changed."""
        if isinstance(one, Deployment):
            if one.queue:
                self._put_deployment(one, t)
        elif isinstance(one, Pod):
            if one.queue:
                self._put_pod(one, t)
        else:
            self._put_node(one, t)

    def remove(self, kind: Kind, name: str, t: float) -> None:
        """Take note that an object is gone."""
        if kind is Kind.DEPLOYMENT and name in self.deployments:
            queue = self.deployments.pop(name).queue
            self._note_asked(queue)
            self._say(What.FAULT, t, f"Deployment {name} was deleted", queue)
        elif kind is Kind.POD and name in self.pods:
            pod = self.pods.pop(name)
            if pod.living:
                self._departed(pod, t)
        elif kind is Kind.NODE and name in self.nodes:
            del self.nodes[name]
            self._say(What.FAULT, t, f"node {name} has left the cluster")

    def tick(self, t: float) -> None:
        """Judge the pods that ended a while ago: taken away by scaling, or killed."""
        due = [one for one in self._departures if t - one.t >= JUDGE_SECONDS]
        self._departures = [one for one in self._departures if t - one.t < JUDGE_SECONDS]
        for one in due:
            if one.left < one.asked and not self._rolled(one.pod):
                pod = one.pod
                self._say(What.REPLACED, one.t, f"pod {_place(pod)} is gone{_why(pod)}", pod.queue)

    def _put_deployment(self, one: Deployment, t: float) -> None:
        name = one.metadata.name
        before = self.deployments.get(name)
        self.deployments[name] = one
        self.seen_workers = True
        self._note_asked(one.queue)
        if before is None:
            return
        if before.spec.replicas != one.spec.replicas:
            change = {"before": before.spec.replicas, "after": one.spec.replicas}
            self._events.append(Event(t=t, what=What.SCALE, queue=one.queue, message=name, **change))
        revision = one.metadata.annotations.get(REVISION, "")
        if revision != before.metadata.annotations.get(REVISION, revision):
            self._say(What.ROLLOUT, t, f"{name} goes to revision {revision}: {one.images}", one.queue)

    def _put_pod(self, pod: Pod, t: float) -> None:
        before = self.pods.get(pod.metadata.name)
        self.pods[pod.metadata.name] = pod
        if pod.spec.node_name:
            self._hosts.add(pod.spec.node_name)
        # A StatefulSet's successor may have the name of its predecessor; ours do not, but a list may have a gap.
        if before is not None and before.metadata.uid != pod.metadata.uid:
            if before.living:
                self._departed(before, t)
            before = None
        if before is not None:
            if before.living and not pod.living:
                self._departed(pod, t)
            if pod.restarts > before.restarts:
                self._say(What.REPLACED, t, f"pod {_place(pod)} was restarted{_end(pod)}", pod.queue)
        self._look_for_trouble(pod, t)

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
            closed = node.spec.unschedulable
            words = "takes no new pods (cordoned)" if closed else "takes pods again"
            self._say(What.FAULT if closed else What.RECOVERED, t, f"node {name} {words}")

    def _look_for_trouble(self, pod: Pod, t: float) -> None:
        """Say once a queue what keeps its pods from starting, until one starts and none is kept any more."""
        for reason, message in _troubles(pod):
            if (pod.queue, reason) not in self._troubles:
                self._troubles.add((pod.queue, reason))
                words = f"pod {_place(pod)} cannot start: {reason}{': ' if message else ''}{message}"
                self._say(What.FAULT, t, words[:_LONGEST], pod.queue)
        peers = (one for one in self.pods.values() if one.queue == pod.queue)
        if pod.ready and not any(_troubles(one) for one in peers):
            self._troubles = {trouble for trouble in self._troubles if trouble[0] != pod.queue}

    def _departed(self, pod: Pod, t: float) -> None:
        left = sum(one.living for one in self.pods.values() if one.queue == pod.queue)
        asked = self.queues.get(pod.queue, Replicas()).asked
        self._departures.append(_Departure(t, pod, left, asked))

    def _note_asked(self, queue: str) -> None:
        asked = self.queues.get(queue, Replicas()).asked
        for one in self._departures:
            if one.pod.queue == queue:
                one.asked = min(one.asked, asked)

    def _rolled(self, pod: Pod) -> bool:
        """Whether a younger pod of its queue comes of another template: then it made room for that one."""
        peers = [one for one in self.pods.values() if one.queue == pod.queue]
        youngest = max(peers, key=lambda one: one.metadata.creation_timestamp, default=pod)
        hashes = [one.metadata.labels.get(HASH_LABEL, "") for one in (youngest, pod)]
        younger = youngest.metadata.creation_timestamp > pod.metadata.creation_timestamp
        return younger and hashes[0] != hashes[1]

    def _say(self, what: What, t: float, message: str, queue: str | None = None) -> None:
        self._events.append(Event(t=t, what=what, queue=queue, message=message))


def _troubles(pod: Pod) -> list[tuple[str, str]]:
    if not pod.living:
        return []
    found = [
        (
            SAME.get(container.state.waiting.reason, container.state.waiting.reason),
            container.state.waiting.message,
        )
        for container in [*pod.status.init_container_statuses, *pod.status.container_statuses]
        if container.state.waiting is not None and container.state.waiting.reason in TROUBLES
    ]
    scheduled = pod.condition("PodScheduled")
    if scheduled is not None and scheduled.status == "False" and scheduled.reason == "Unschedulable":
        found.append((scheduled.reason, scheduled.message))
    return found


def _place(pod: Pod) -> str:
    return f"{pod.metadata.name} on {pod.spec.node_name}" if pod.spec.node_name else pod.metadata.name


def _end(pod: Pod) -> str:
    """How its last container ended, in brackets; empty where that is not known."""
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
    """Sort node-10 behind node-9."""
    parts = re.split(r"([0-9]+)", name)
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]
