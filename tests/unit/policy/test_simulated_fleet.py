"""Simulated fleets under an autoscaler, from 0 up and back to 0; and why the running work must count."""

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from app.policy.autoscaler import Autoscaler, Measurement
from app.policy.behavior import Behavior
from app.policy.policy import Policy, backlog_per_replica

ROOT = Path(__file__).parents[3]
DOCUMENTATION = ROOT / "docs" / "scaling.md"
TICK = 0.25


class Queue:
    """Documents of equal length, started when a replica is free; a stopped replica finishes its document."""

    def __init__(
        self, documents: int, seconds: float, *, at: float = 0.0, every_seconds: float | None = None
    ) -> None:
        self.documents = documents
        self.at = at
        """When the documents arrive."""
        self.waiting = 0
        self.seconds = seconds
        self.every_seconds = every_seconds
        """Interval at which one more document arrives; None: no more arrive."""
        self.ends: list[float] = []

    def advance(self, now: float, slots: int) -> None:
        if now == self.at:
            self.waiting += self.documents
        if self.every_seconds is not None and now % self.every_seconds == 0:
            self.waiting += 1
        self.ends = [end for end in self.ends if end > now]
        started = max(0, min(self.waiting, slots - len(self.ends)))
        self.waiting -= started
        self.ends += [now + self.seconds] * started


def run(
    policy: Policy, queue: Queue, *, seconds: float, see_running: bool = True
) -> list[tuple[int, int, int]]:
    """Return (waiting, running, replicas) at every tick."""
    scaler, replicas, trace = Autoscaler(policy), 0, []
    for tick in range(int(seconds / TICK)):
        now = tick * TICK
        queue.advance(now, replicas)
        running = len(queue.ends)
        seen = Measurement(waiting=queue.waiting, running=running if see_running else 0, replicas=replicas)
        replicas = scaler.step(now, seen).replicas
        trace.append((queue.waiting, running, replicas))
    return trace


def directions(replicas: list[int]) -> list[int]:
    """Return +1 and -1 for each turn of direction."""
    signs = [1 if after > before else -1 for before, after in pairwise(replicas) if after != before]
    return [sign for index, sign in enumerate(signs) if index == 0 or signs[index - 1] != sign]


@pytest.mark.parametrize("policy", [Policy.local(8), Policy.cluster(8, backlog_per_replica=20)])
def test_a_drain_goes_from_nothing_up_to_the_maximum_and_back_to_nothing(policy: Policy) -> None:
    queue = Queue(1_000, 0.25 if policy.sync_seconds < 1 else 5.0)
    replicas = [0, *(value for *_, value in run(policy, queue, seconds=1_600))]
    assert queue.waiting == 0
    assert not queue.ends
    assert max(replicas) == 8
    assert replicas[-1] == 0
    assert directions(replicas) == [+1, -1]


def test_the_worked_example_of_the_documentation() -> None:
    rows = re.findall(
        r"^\| ([\d.]+) s \| ([\d,]+) \| (\d+) \| ([\d.]+) \| (?:(\d+) -> )?(\d+) \|",
        DOCUMENTATION.read_text(),
        re.MULTILINE,
    )
    assert len(rows) == 8
    flood = 2.5
    policy = Policy.cluster(10, backlog_per_replica=backlog_per_replica(60, 0.5))
    trace = [(0, 0, 0), *run(policy, Queue(1_000, 0.5, at=flood), seconds=200)]
    for seconds, waiting, running, metric, before, after in rows:
        index = int((flood + float(seconds)) / TICK) + 1
        assert trace[index] == (int(waiting.replace(",", "")), int(running), int(after))
        assert trace[index - 1][2] == int(before or after)
        assert f"{policy.metric_milli(*trace[index][:2]) / 1_000:.2f}" == metric
    documented = [int(after) for *_, before, after in rows if before]
    changes = [after for (*_, before), (*_, after) in pairwise(trace) if before != after]
    assert changes == documented


def test_local_growth_doubles_before_ones_eyes() -> None:
    replicas = [value for *_, value in run(Policy.local(8), Queue(1_000, 0.25), seconds=3)]
    assert replicas[0:8:2] == [2, 4, 8, 8]


def test_queue_length_alone_ends_replicas_at_work() -> None:
    """LLEN alone is the common mistake: a message that was taken has left the list, and its replica is stopped.

    Of eight long documents four are taken, so LLEN reads 4 and the fleet stops growing. When the other four are taken,
    LLEN reads 0 and the fleet is stopped while all four replicas work.
    """
    policy = Policy.local(8, backlog_per_replica=1)
    with_running = run(policy, Queue(8, 20.0), seconds=60)
    llen_alone = run(policy, Queue(8, 20.0), seconds=60, see_running=False)
    assert all(replicas >= running for _, running, replicas in with_running)
    assert max(replicas for *_, replicas in with_running) == 8
    assert max(replicas for *_, replicas in llen_alone) == 4
    assert (0, 4, 0) in llen_alone
    assert with_running[-1] == llen_alone[-1] == (0, 0, 0)


def test_queue_length_alone_flaps_where_work_keeps_coming() -> None:
    """A long document every ten seconds: both counts keep the fleet, LLEN alone stops it each time."""
    policy = Policy.local(4, backlog_per_replica=1)

    def turns(*, see_running: bool) -> int:
        arrivals = Queue(0, 9.5, every_seconds=10)
        trace = run(policy, arrivals, seconds=100, see_running=see_running)
        return len(directions([0, *(replicas for *_, replicas in trace)]))

    assert turns(see_running=True) == 1
    assert turns(see_running=False) >= 19


def chart_policy(worker: str, *files: str) -> tuple[Policy, float]:
    """Return a worker's policy by the chart's values and those of `files`, and the seconds that a document takes."""
    layers = [yaml.safe_load((ROOT / name).read_text()) for name in ("helm/pdf-fleet/values.yaml", *files)]
    own: dict[str, Any] = {}
    for values in layers:
        own |= values["workerDefaults"]
    for values in layers:
        own |= values["workers"].get(worker, {})
    policy = Policy.cluster(
        own["maxReplicas"],
        backlog_per_replica=backlog_per_replica(own["targetDrainSeconds"], own["secondsPerDocument"]),
    )
    # tests/chart/test_keda.py compares the rates, which are the policy's.
    cooldown = float(own["cooldownSeconds"])
    return msgspec.structs.replace(policy, cooldown_seconds=cooldown), own["secondsPerDocument"]


def useful_share(policy: Policy, documents: int, seconds: float, *, at: float) -> float:
    """Return the work of one flood as a share of what its pods cost, from 0 replicas until there are 0 again."""
    trace = run(policy, Queue(documents, seconds, at=at), seconds=400)
    assert trace[-1] == (0, 0, 0)
    return documents * seconds / sum(max(running, replicas) * TICK for _, running, replicas in trace)


@pytest.mark.parametrize("at", [1.5, 4.0, 7.25, 11.0, 14.75])
def test_most_of_what_a_flood_costs_is_work(at: float) -> None:
    policy, seconds = chart_policy("pdf")
    assert useful_share(policy, 1_000, seconds, at=at) >= 0.6


def test_the_documentation_names_the_price_of_a_window() -> None:
    policy, seconds = chart_policy("pdf")
    rows = re.findall(r"^\| (\d+) s \| (\d+) % \|", DOCUMENTATION.read_text(), re.MULTILINE)
    assert [window for window, _ in rows] == ["0", "30", "60", "120"]
    for window, share in rows:
        down = msgspec.structs.replace(policy.behavior.scale_down, stabilization_window_seconds=float(window))
        slower = msgspec.structs.replace(
            policy, behavior=Behavior(scale_up=policy.behavior.scale_up, scale_down=down)
        )
        assert round(100 * useful_share(slower, 1_000, seconds, at=2.5)) == int(share)


def test_a_fleet_for_watching_costs_little_too() -> None:
    """At k8s/values-kind.yaml's 0.3 s a document, rounded up to the tick; a real one takes longer on a busy host."""
    policy, seconds = chart_policy("pdf", "k8s/values-kind.yaml")
    assert useful_share(policy, 1_000, -(-seconds // TICK) * TICK, at=2.5) >= 0.6


def test_two_long_documents_more_than_replicas_are_not_left_waiting() -> None:
    """Of 22 documents that need a replica each, 20 run: the cluster's tolerance alone would leave two waiting."""
    scaler, replicas = Autoscaler(Policy.cluster(40, backlog_per_replica=1)), 20
    for now in range(0, 60, 15):
        replicas = scaler.step(now, Measurement(waiting=2, running=20, replicas=replicas)).replicas
    assert replicas == 22


def upgrade(*, see_ending: bool) -> int:
    """Replace ten pods at work on documents of 120 s by ten new ones; return the most replicas while they do."""
    # So long a backlog needs ten replicas: 210 / 21.
    scaler, replicas, waiting = Autoscaler(Policy.cluster(60, backlog_per_replica=21)), 10, 210
    running: list[float] = []
    ending: list[float] = []
    most = 0
    for tick in range(int(240 / TICK)):
        now = tick * TICK
        running, ending = ([end for end in ends if end > now] for ends in (running, ending))
        if now == 30:  # the old pods end their documents, the new ones begin others
            running, ending = [], running
        started = max(0, min(waiting, replicas - len(running)))
        waiting -= started
        running += [now + 120.0] * started
        seen = len(running) + (len(ending) if see_ending else 0)
        replicas = scaler.step(now, Measurement(waiting=waiting, running=seen, replicas=replicas)).replicas
        most = max(most, replicas)
    return most


def test_an_upgrade_over_long_documents_adds_no_replica() -> None:
    """If documents of ending pods counted as running, each would need a replica beside the new pods' own, again and
    again until the old ones are gone."""
    assert upgrade(see_ending=False) == 10
    assert upgrade(see_ending=True) == 60


def test_a_wake_to_several_replicas_begins_at_once() -> None:
    policy = msgspec.structs.replace(Policy.cluster(10, backlog_per_replica=120), wake_replicas=4)
    replicas = [value for *_, value in run(policy, Queue(1_000, 0.5, at=2.5), seconds=200)]
    assert replicas[int(3 / TICK)] == 4
    assert min(replicas[int(3 / TICK) : int(60 / TICK)]) == 4
    assert max(replicas) == 8
    assert replicas[-1] == 0
