from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.cluster.objects import Deployment, Kind, Node, Pod, read
from app.cluster.state import JUDGE_SECONDS, FleetState
from app.report.timeline import What

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def deployment(
    queue: str = "pdf", *, desired: int, ready: int = 0, total: int | None = None, **more: Any
) -> Deployment:
    one = read(
        Kind.DEPLOYMENT,
        {
            "apiVersion": "apps/v1",
            "metadata": {
                "name": f"fleet-worker-{queue}",
                "labels": {"pdf-fleet/queue": queue},
                "annotations": {"deployment.kubernetes.io/revision": more.get("revision", "1")},
            },
            "spec": {
                "replicas": desired,
                "template": {"spec": {"containers": [{"name": "worker", "image": "pdf-fleet:2"}]}},
            },
            "status": {"replicas": desired if total is None else total, "readyReplicas": ready or None},
        },
    )
    assert isinstance(one, Deployment)
    return one


def pod(
    name: str, queue: str = "pdf", *, node: str | None = "node-1", ready: bool = True, **more: Any
) -> Pod:
    waiting = {"reason": more["waiting"], "message": "no such image"} if "waiting" in more else None
    before = (
        [{"name": "source", "state": {"waiting": {"reason": more["before"]}}}] if "before" in more else None
    )
    ended = {"exitCode": 137, "reason": more["ended"]} if "ended" in more else None
    conditions = [{"type": "Ready", "status": "True" if ready else "False", "lastProbeTime": None}]
    if "disrupted" in more:
        conditions.append({"type": "DisruptionTarget", "status": "True", "reason": more["disrupted"]})
    if more.get("unschedulable"):
        why = {"reason": "Unschedulable", "message": "0/4 nodes are available"}
        conditions.append({"type": "PodScheduled", "status": "False", **why})
    one = read(
        Kind.POD,
        {
            "metadata": {
                "name": name,
                "uid": more.get("uid", name),
                "labels": {"pdf-fleet/queue": queue, "pod-template-hash": more.get("template", "a")},
                "creationTimestamp": (BEGIN + timedelta(seconds=more.get("age", 0))).isoformat(),
                "deletionTimestamp": "2026-01-01T00:10:00Z" if more.get("ending") else None,
            },
            "spec": {"nodeName": node, "containers": [{"name": "worker"}]},
            "status": {
                "phase": more.get("phase", "Running"),
                "conditions": conditions,
                "initContainerStatuses": before,
                "containerStatuses": [
                    {
                        "name": "worker",
                        "restartCount": more.get("restarts", 0),
                        "state": {"waiting": waiting, "running": None if waiting else {"startedAt": None}},
                        "lastState": {"terminated": ended},
                    }
                ],
            },
        },
    )
    assert isinstance(one, Pod)
    return one


def node(name: str, *, ready: bool = True, closed: bool = False, control: bool = False) -> Node:
    taint = {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}
    one = read(
        Kind.NODE,
        {
            "metadata": {"name": name},
            "spec": {"unschedulable": closed or None, "taints": [taint] if control else None},
            "status": {"conditions": [{"type": "Ready", "status": "True" if ready else "Unknown"}]},
        },
    )
    assert isinstance(one, Node)
    return one


def fleet(desired: int, *pods: Pod) -> FleetState:
    state = FleetState()
    state.replace(Kind.DEPLOYMENT, [deployment(desired=desired, ready=len(pods))], 0.0)
    state.replace(Kind.POD, pods, 0.0)
    assert state.events() == []
    return state


def events(state: FleetState) -> list[tuple[What, str]]:
    return [(event.what, event.message) for event in state.events()]


def test_replicas_are_added_up_by_queue() -> None:
    state = FleetState()
    state.put(deployment("pdf", desired=9, ready=4, total=7), 0.0)
    state.put(deployment("ocr", desired=0), 0.0)
    pdf, ocr = state.queues["pdf"], state.queues["ocr"]
    assert (pdf.desired, pdf.ready, pdf.total) == (9, 4, 7)
    assert (ocr.desired, ocr.ready, ocr.total) == (0, 0, 0)
    assert list(state.queues) == ["ocr", "pdf"]
    assert not state.at_zero
    state.put(deployment("pdf", desired=0), 1.0)
    assert state.at_zero


def test_objects_of_no_fleet_are_ignored() -> None:
    state = FleetState()
    stranger = read(Kind.DEPLOYMENT, {"metadata": {"name": "nginx"}, "spec": {"replicas": 3}})
    state.put(stranger, 0.0)
    state.put(read(Kind.POD, {"metadata": {"name": "nginx-1"}}), 0.0)
    assert (state.queues, state.pods, state.at_zero, state.gone) == ({}, {}, False, False)


def test_only_ready_pods_count_by_node() -> None:
    state = FleetState()
    for one in (node("node-10"), node("node-9"), node("control", control=True)):
        state.put(one, 0.0)
    state.put(pod("a", node="node-9"), 0.0)
    state.put(pod("b", node="node-9"), 0.0)
    state.put(pod("c", "ocr", node="node-9"), 0.0)
    state.put(pod("starting", node="node-10", ready=False), 0.0)
    state.put(pod("ending", node="node-10", ending=True), 0.0)
    state.put(pod("pending", node=None, ready=False), 0.0)
    state.put(pod("removed", node="gone-1"), 0.0)
    state.remove(Kind.POD, "removed", 0.0)
    assert state.pods_by_node == {"gone-1": {}, "node-9": {"pdf": 2, "ocr": 1}, "node-10": {}}
    assert list(state.pods_by_node) == ["gone-1", "node-9", "node-10"]


def test_scaling_is_an_event_with_before_and_after() -> None:
    state = fleet(0)
    state.put(deployment(desired=0, ready=0), 1.0)
    state.put(deployment(desired=9), 2.0)
    state.put(deployment(desired=9, ready=5), 3.0)
    state.put(deployment(desired=4, ready=5), 4.0)
    found = [(event.t, event.what, event.queue, event.before, event.after) for event in state.events()]
    assert found == [(2.0, What.SCALE, "pdf", 0, 9), (4.0, What.SCALE, "pdf", 9, 4)]
    assert state.events() == []


@pytest.mark.parametrize("late", [False, True], ids=["before the pods", "after the pods"])
def test_pods_removed_by_scaling_are_no_event(late: bool) -> None:
    state = fleet(3, *(pod(name) for name in "abc"))
    if not late:
        state.put(deployment(desired=1), 1.0)
    state.put(pod("a", ending=True), 1.1)
    state.remove(Kind.POD, "b", 1.2)
    if late:
        state.put(deployment(desired=1), 1.3)
    state.remove(Kind.POD, "a", 2.0)
    state.tick(1.1 + JUDGE_SECONDS + 1.0)
    assert [what for what, _ in events(state)] == [What.SCALE]


def test_a_desired_pod_that_ends_is_an_event() -> None:
    state = fleet(2, pod("a"), pod("b", node="node-2"))
    state.put(pod("b", node="node-2", ending=True, disrupted="EvictionByEvictionAPI"), 5.0)
    state.tick(5.0)
    assert events(state) == []
    state.put(pod("c", node=None, ready=False), 5.5)
    state.remove(Kind.POD, "b", 6.0)
    state.tick(5.0 + JUDGE_SECONDS)
    (event,) = state.events()
    assert (event.t, event.what, event.queue) == (5.0, What.REPLACED, "pdf")
    assert event.message == "pod b on node-2 is gone (EvictionByEvictionAPI)"


def test_a_failed_pod_is_an_event_once() -> None:
    state = fleet(1, pod("a"))
    state.put(pod("a", phase="Failed", ready=False), 1.0)
    state.tick(9.0)
    assert events(state) == [(What.REPLACED, "pod a on node-1 is gone")]
    state.remove(Kind.POD, "a", 9.0)
    state.tick(19.0)
    assert events(state) == []


def test_pods_replaced_by_a_rollout_are_no_event() -> None:
    state = fleet(2, pod("a"), pod("b"))
    state.put(deployment(desired=2, ready=2, revision="2"), 1.0)
    assert events(state) == [(What.ROLLOUT, "fleet-worker-pdf goes to revision 2: pdf-fleet:2")]
    state.put(pod("c", template="b", age=10), 1.5)
    state.remove(Kind.POD, "a", 2.0)
    state.remove(Kind.POD, "b", 2.0)
    state.tick(9.0)
    assert events(state) == []
    state.remove(Kind.POD, "c", 10.0)
    state.tick(19.0)
    assert events(state) == [(What.REPLACED, "pod c on node-1 is gone")]


@pytest.mark.parametrize(("reason", "words"), [("OOMKilled", "OOMKilled, exit 137"), ("", "exit 137")])
def test_a_restart_is_an_event_with_its_cause(reason: str, words: str) -> None:
    state = fleet(1, pod("a"))
    state.put(pod("a", restarts=1, ended=reason), 3.0)
    state.put(pod("a", restarts=1, ended=reason), 4.0)
    assert events(state) == [(What.REPLACED, f"pod a on node-1 was restarted ({words})")]


def test_restarts_before_the_watch_are_no_event() -> None:
    assert events(fleet(1, pod("a", restarts=7, ended="Error"))) == []


def test_a_reason_that_keeps_pods_from_starting_is_reported_once() -> None:
    state = fleet(3)
    for name in "abc":
        for waiting in ("ErrImagePull", "ImagePullBackOff", "ContainerCreating", "ErrImagePull"):
            state.put(pod(name, ready=False, waiting=waiting), 1.0)
    message = "pod a on node-1 cannot start: ImagePullBackOff: no such image"
    assert events(state) == [(What.FAULT, message)]
    for name in "abc":
        state.put(pod(name), 2.0)
    state.put(pod("d", node=None, ready=False, unschedulable=True), 3.0)
    state.put(pod("d", ready=False, waiting="ErrImagePull"), 4.0)
    assert events(state) == [
        (What.FAULT, "pod d cannot start: Unschedulable: 0/4 nodes are available"),
        (What.FAULT, "pod d on node-1 cannot start: ImagePullBackOff: no such image"),
    ]


def test_an_init_container_keeps_a_pod_from_starting_too() -> None:
    """`skaffold dev` copies the source in one, and a service mesh adds its own."""
    state = fleet(1)
    state.put(pod("a", ready=False, before="PodInitializing", waiting="PodInitializing"), 1.0)
    assert events(state) == []
    state.put(pod("a", ready=False, before="CrashLoopBackOff", waiting="PodInitializing"), 2.0)
    assert events(state) == [(What.FAULT, "pod a on node-1 cannot start: CrashLoopBackOff")]


def test_changes_of_nodes_are_events() -> None:
    state = FleetState()
    state.replace(Kind.NODE, [node("n1"), node("n2"), node("n3")], 0.0)
    for one in (node("n1", ready=False), node("n1", ready=False), node("n1")):
        state.put(one, 1.0)
    state.put(node("n2", closed=True), 2.0)
    state.put(node("n2"), 3.0)
    state.remove(Kind.NODE, "n3", 4.0)
    assert events(state) == [
        (What.FAULT, "node n1 is not ready"),
        (What.RECOVERED, "node n1 is ready again"),
        (What.FAULT, "node n2 takes no new pods (cordoned)"),
        (What.RECOVERED, "node n2 takes pods again"),
        (What.FAULT, "node n3 has left the cluster"),
    ]


def test_an_uninstalled_fleet_is_gone() -> None:
    state = fleet(1, pod("a"))
    state.remove(Kind.DEPLOYMENT, "fleet-worker-pdf", 1.0)
    state.remove(Kind.POD, "a", 1.5)
    state.tick(9.0)
    assert state.gone
    assert not state.at_zero
    assert events(state) == [(What.FAULT, "Deployment fleet-worker-pdf was deleted")]


def test_a_new_list_yields_the_events_that_were_missed() -> None:
    """After 410 Gone a watch restarts with a list."""
    state = fleet(2, pod("a"), pod("b"))
    state.replace(Kind.DEPLOYMENT, [deployment(desired=3)], 5.0)
    state.replace(Kind.POD, [pod("b", restarts=1, ended="Error"), pod("c")], 5.0)
    state.tick(9.0)
    assert sorted(message for _, message in events(state)) == [
        "fleet-worker-pdf",
        "pod a on node-1 is gone",
        "pod b on node-1 was restarted (Error, exit 137)",
    ]


STEP = st.tuples(
    st.sampled_from(["pod", "ready", "ending", "gone", "scale"]),
    st.sampled_from("abcdef"),
    st.sampled_from(["pdf", "ocr"]),
    st.sampled_from(["n1", "n2", "n3"]),
)


@given(st.lists(STEP, max_size=60))
def test_counts_always_match_the_pods(steps: list[tuple[str, str, str, str]]) -> None:
    state = FleetState()
    expected: dict[str, tuple[str, str, bool]] = {}
    for t, (what, name, queue, place) in enumerate(steps):
        if what == "scale":
            state.put(deployment(queue, desired=ord(name) - ord("a")), t)
            continue
        known = f"{queue}-{name}"
        if what == "gone":
            state.remove(Kind.POD, known, t)
            expected.pop(known, None)
            continue
        state.put(pod(known, queue, node=place, ready=what == "ready", ending=what == "ending"), t)
        expected[known] = (place, queue, what == "ready")
        state.tick(t)
    counted = Counter((place, queue) for place, queue, ready in expected.values() if ready)
    found = {
        (place, queue): count for place, pods in state.pods_by_node.items() for queue, count in pods.items()
    }
    assert found == dict(counted)
    state.tick(len(steps) + JUDGE_SECONDS)
    replaced = [event for event in state.events() if event.what is What.REPLACED]
    assert len(replaced) <= sum(step[0] in {"gone", "ending"} for step in steps)
