"""KEDA and the HPA together: activation, cooldown, fallback, no flapping."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.policy.autoscaler import Autoscaler, Decision, Measurement
from app.policy.hpa import Reason
from app.policy.policy import Fallback, FallbackBehavior, Policy

CLUSTER = msgspec.structs.replace(Policy.cluster(10, backlog_per_replica=20), polling_seconds=5.0)
"""The cluster's policy, but with polls so far apart that a step shows whether a poll or a sync acts."""


class Driver:
    """An autoscaler whose decisions are carried out at once."""

    def __init__(self, policy: Policy, replicas: int = 0) -> None:
        self.scaler = Autoscaler(policy)
        self.replicas = replicas

    def step(self, now: float, waiting: int, running: int = 0) -> Decision:
        return self._carry_out(
            self.scaler.step(now, Measurement(waiting=waiting, running=running, replicas=self.replicas))
        )

    def fail(self, now: float) -> Decision:
        return self._carry_out(self.scaler.step(now, None))

    def _carry_out(self, decision: Decision) -> Decision:
        self.replicas = decision.replicas
        return decision


def test_an_empty_fleet_stays_empty_until_a_poll_sees_work() -> None:
    fleet = Driver(CLUSTER)
    assert fleet.step(0, 0) == Decision(replicas=0, reason=Reason.IDLE, metric=0.0)
    assert fleet.step(4.9, 30) == Decision(replicas=0, reason=Reason.IDLE, metric=1.5)
    assert fleet.step(5, 30) == Decision(replicas=1, reason=Reason.ACTIVATED, metric=1.5)
    assert fleet.step(10, 30) == Decision(replicas=1, reason=Reason.ACTIVATED, metric=1.5)
    assert fleet.step(15, 30) == Decision(replicas=2, reason=Reason.SCALED_UP, metric=1.5)
    assert fleet.step(30, 30) == Decision(replicas=2, reason=Reason.STEADY, metric=1.5)


def test_the_hpa_asks_only_every_sync() -> None:
    fleet = Driver(CLUSTER)
    assert fleet.step(100, 40).replicas == 2  # poll and sync fall together
    for now in (101, 105, 110, 114.999):
        assert fleet.step(now, 100).replicas == 2
    assert fleet.step(115, 100).replicas == 5


def test_periods_count_from_a_late_poll() -> None:
    fleet = Driver(CLUSTER)
    fleet.step(0, 40)
    assert fleet.step(100, 60).replicas == 3
    assert fleet.step(114.9, 100).replicas == 3
    assert fleet.step(115, 100).replicas == 5


def test_work_wakes_the_minimum_at_once() -> None:
    fleet = Driver(msgspec.structs.replace(CLUSTER, min_replicas=3))
    fleet.fail(0)
    assert fleet.step(5, 1) == Decision(replicas=3, reason=Reason.ACTIVATED, metric=0.05)


def test_a_fleet_can_wake_to_several_replicas_and_sleep_again() -> None:
    fleet = Driver(msgspec.structs.replace(CLUSTER, wake_replicas=4))
    assert fleet.step(0, 0).replicas == 0
    assert fleet.step(5, 1) == Decision(replicas=4, reason=Reason.ACTIVATED, metric=0.05)
    # The HPA has the same minimum, so it takes none of them back.
    assert [fleet.step(now, 1).replicas for now in (15, 30, 45)] == [4, 4, 4]
    assert [fleet.step(now, 0).replicas for now in (50, 105, 110)] == [4, 4, 0]


def test_keda_raises_too_few_woken_replicas_at_its_next_poll() -> None:
    fleet = Driver(msgspec.structs.replace(CLUSTER, wake_replicas=4, sync_seconds=100_000.0), replicas=2)
    fleet.step(0, 0)
    fleet.replicas = 2
    assert fleet.step(5, 1) == Decision(replicas=4, reason=Reason.ACTIVATED, metric=0.05)


def test_a_minimum_is_kept_without_any_work() -> None:
    fleet = Driver(msgspec.structs.replace(CLUSTER, min_replicas=3))
    assert fleet.step(0, 0) == Decision(replicas=3, reason=Reason.AT_MIN, metric=0.0)
    for now in range(5, 3_000, 5):
        assert fleet.step(now, 0).replicas == 3


def test_an_activation_target_is_exceeded_not_reached() -> None:
    policy = msgspec.structs.replace(CLUSTER, activation_target=2.0)
    fleet = Driver(policy)
    assert fleet.step(0, 40).replicas == 0
    assert fleet.step(5, 41).replicas == 1
    # Activation precedes scaling: 40 documents need 2 replicas, yet get none after the cooldown.
    assert fleet.step(15, 40).reason is Reason.SCALED_UP
    assert [fleet.step(now, 40).replicas for now in (65, 65.001, 70.001)] == [2, 2, 0]


def test_cooldown_runs_from_the_last_poll_that_saw_work_and_ends_all_at_once() -> None:
    fleet = Driver(CLUSTER)
    fleet.step(0, 200)
    assert fleet.replicas == 10
    assert fleet.step(5, 0, running=1).replicas == 10
    assert fleet.step(10, 0).reason is Reason.COOLING_DOWN
    policy_without_hpa = msgspec.structs.replace(CLUSTER, sync_seconds=100_000.0)
    alone = Driver(policy_without_hpa)
    alone.step(0, 200)
    assert alone.step(60, 0) == Decision(replicas=10, reason=Reason.COOLING_DOWN, metric=0.0)
    assert alone.step(65, 0) == Decision(replicas=0, reason=Reason.DEACTIVATED, metric=0.0)


def test_replicas_that_never_saw_work_have_no_cooldown() -> None:
    assert Driver(CLUSTER, replicas=4).step(0, 0) == Decision(
        replicas=0, reason=Reason.DEACTIVATED, metric=0.0
    )


def test_failures_up_to_the_threshold_change_nothing() -> None:
    fallback = Fallback(failure_threshold=3, replicas=8, behavior=FallbackBehavior.STATIC)
    fleet = Driver(msgspec.structs.replace(CLUSTER, fallback=fallback))
    fleet.step(0, 100)
    assert fleet.replicas == 5
    for now in (5, 10):
        assert fleet.fail(now) == Decision(replicas=5, reason=Reason.MEASUREMENT_FAILED, metric=None)
    # Between polls nothing queries the metric, so an answer there does not reset the count of failures.
    fleet.step(14, 100)
    # KEDA's own query is the third to fail, the HPA's the fourth: that one gets the fallback.
    assert fleet.fail(15) == Decision(replicas=8, reason=Reason.SCALED_UP, metric=None)
    assert fleet.fail(20) == Decision(replicas=8, reason=Reason.FALLBACK, metric=None)


def test_one_answer_resets_the_count_of_failures() -> None:
    fallback = Fallback(failure_threshold=2, replicas=8, behavior=FallbackBehavior.STATIC)
    fleet = Driver(msgspec.structs.replace(CLUSTER, fallback=fallback))
    fleet.step(0, 100)
    for now in range(5, 100, 5):
        answered = now % 10 == 0
        decision = fleet.step(now, 100) if answered else fleet.fail(now)
        assert decision.replicas == 5
        assert (decision.reason is Reason.MEASUREMENT_FAILED) is not answered


@pytest.mark.parametrize(
    ("behavior", "fallback_replicas", "expected"),
    [
        (FallbackBehavior.STATIC, 8, 8),
        (FallbackBehavior.CURRENT_REPLICAS, 8, 5),
        (FallbackBehavior.CURRENT_REPLICAS_IF_HIGHER, 8, 8),
        (FallbackBehavior.CURRENT_REPLICAS_IF_HIGHER, 3, 5),
        (FallbackBehavior.CURRENT_REPLICAS_IF_LOWER, 8, 5),
        (FallbackBehavior.CURRENT_REPLICAS_IF_LOWER, 3, 3),
    ],
)
def test_fallback_moves_a_running_fleet_by_the_same_rules(
    behavior: FallbackBehavior, fallback_replicas: int, expected: int
) -> None:
    fallback = Fallback(behavior=behavior, replicas=fallback_replicas)
    fleet = Driver(msgspec.structs.replace(CLUSTER, fallback=fallback))
    fleet.step(0, 100)
    for now in range(5, 2_000, 5):
        fleet.fail(now)
    assert fleet.replicas == expected
    # Once the queue answers again, the next sync uses the formula.
    fleet.step(2_000, 200)
    assert fleet.step(2_015, 200).replicas == 10


def test_a_static_fallback_wakes_an_empty_fleet_and_the_current_one_does_not() -> None:
    static = Driver(msgspec.structs.replace(CLUSTER, fallback=Fallback(behavior=FallbackBehavior.STATIC)))
    current = Driver(CLUSTER)
    assert [static.fail(now).replicas for now in (0, 5, 10, 15)] == [0, 0, 0, 1]
    assert {current.fail(now).replicas for now in range(0, 1_000, 5)} == {0}


def test_without_fallback_a_failing_queue_keeps_its_fleet_for_ever() -> None:
    fleet = Driver(msgspec.structs.replace(CLUSTER, fallback=None))
    fleet.step(0, 100)
    assert {fleet.fail(now).replicas for now in range(5, 5_000, 5)} == {5}


@given(
    max_replicas=st.integers(1, 30),
    min_replicas=st.integers(0, 3),
    backlog=st.integers(1, 50),
    steps=st.lists(
        st.tuples(
            st.integers(1, 40),
            st.sampled_from([None, (0, 0), (0, 0), (1, 0), (0, 1)])
            | st.tuples(st.integers(0, 500), st.integers(0, 30)),
        ),
        max_size=40,
    ),
)
def test_bounds_hold_and_zero_comes_only_after_the_cooldown(
    max_replicas: int, min_replicas: int, backlog: int, steps: list[tuple[int, tuple[int, int] | None]]
) -> None:
    policy = msgspec.structs.replace(
        Policy.cluster(
            max(max_replicas, min_replicas), backlog_per_replica=backlog, min_replicas=min_replicas
        ),
        polling_seconds=5.0,
    )
    fleet, now, next_poll, last_active = Driver(policy), 0, 0, -1_000
    for pause, measured in steps:
        now += pause
        before = fleet.replicas
        decision = fleet.fail(now) if measured is None else fleet.step(now, *measured)
        if now >= next_poll:
            next_poll = now + 5
            if measured not in (None, (0, 0)):
                last_active = now
        assert 0 <= decision.replicas <= policy.max_replicas
        if before:
            assert decision.replicas >= min_replicas
            assert decision.replicas > 0 or now - last_active > policy.cooldown_seconds


@given(waiting=st.integers(1, 400), replicas=st.integers(1, 10), data=st.data())
def test_starting_documents_never_changes_the_replicas(
    waiting: int, replicas: int, data: st.DataObject
) -> None:
    """Started or not, it is the same work: a stable fleet keeps its size while documents are started."""
    fleet = Driver(Policy.local(20), replicas=replicas)
    for tick in range(100):
        fleet.step(tick / 4, waiting)
    settled = fleet.replicas
    for tick in range(100, 140):
        started = data.draw(st.integers(0, min(waiting, settled)))
        assert fleet.step(tick / 4, waiting - started, started).replicas == settled
