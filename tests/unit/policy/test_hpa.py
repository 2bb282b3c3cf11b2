"""The HPA's sync: recommendation, stabilization, rate limits and bounds."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.policy.behavior import Behavior, ScalingRules, SelectPolicy, nanoseconds, percent, pods
from app.policy.hpa import HorizontalPodAutoscaler, Proposal, Reason
from app.policy.policy import MILLI, Policy

UNLIMITED = ScalingRules(policies=(pods(1_000_000, period_seconds=1),))


def hpa(
    *,
    up: ScalingRules = UNLIMITED,
    down: ScalingRules = UNLIMITED,
    min_replicas: int = 0,
    max_replicas: int = 100,
    tolerance: float = 0.1,
) -> HorizontalPodAutoscaler:
    return HorizontalPodAutoscaler(
        Policy(
            max_replicas=max_replicas,
            min_replicas=min_replicas,
            backlog_per_replica=1,
            tolerance=tolerance,
            behavior=Behavior(scale_up=up, scale_down=down),
        )
    )


def sync(
    scaler: HorizontalPodAutoscaler, seconds: float, metric: float, replicas: int, existing: int | None = None
) -> Proposal | None:
    return scaler.sync(
        nanoseconds(seconds), round(metric * MILLI), replicas, replicas if existing is None else existing
    )


@pytest.mark.parametrize(
    ("metric", "existing", "recommended"),
    [
        (10.0, 10, 10),
        (11.0, 10, 10),  # a ratio of 1.1 is still within, and of 0.9 too
        (11.001, 10, 12),
        (9.0, 10, 10),
        (8.999, 10, 9),
        (1.1, 1, 1),
        (1.101, 1, 2),
        (0.5, 1, 1),
        (0.0, 3, 0),
        (2.001, 1, 3),
        (20.0 / 5, 3, 4),  # KEDA's documented example: 20 messages, threshold 5, 3 replicas: 4
        (3.0, 0, 3),  # nothing exists yet, so no ratio
        (0.0, 0, 0),
    ],
)
def test_recommendation_of_an_average_value(metric: float, existing: int, recommended: int) -> None:
    assert hpa().recommend(round(metric * MILLI), existing) == recommended


def test_without_tolerance_every_fraction_counts() -> None:
    assert hpa(tolerance=0.0).recommend(10_001, 10) == 11
    assert hpa(tolerance=0.0).recommend(10_000, 10) == 10


def test_a_direction_may_have_a_tolerance_of_its_own() -> None:
    """Of 22 documents that need a replica each, 20 run: with the cluster's tolerance the last two would wait."""
    ready = msgspec.structs.replace(UNLIMITED, tolerance=0.0)
    assert hpa().recommend(22_000, 20) == 20
    assert hpa(up=ready).recommend(22_000, 20) == 22
    assert hpa(up=ready).recommend(18_000, 20) == 20
    assert hpa(down=ready).recommend(22_000, 20) == 20
    assert hpa(down=ready).recommend(19_000, 20) == 19


def test_tolerance_is_measured_on_the_replicas_that_exist() -> None:
    """Of 10 desired only 8 exist: 8.4 is within tolerance of 8, so 8 are recommended (as the HPA does)."""
    assert sync(hpa(), 0, 8.4, 10, existing=8) == Proposal(8, Reason.SCALED_DOWN)


@pytest.mark.parametrize(
    ("metric", "replicas", "expected"),
    [
        (3.0, 3, Proposal(3, Reason.STEADY)),
        (10.5, 10, Proposal(10, Reason.WITHIN_TOLERANCE)),
        (7.0, 3, Proposal(7, Reason.SCALED_UP)),
        (500.0, 3, Proposal(100, Reason.SCALED_UP)),
        (500.0, 100, Proposal(100, Reason.AT_MAX)),
        (2.0, 3, Proposal(2, Reason.SCALED_DOWN)),
        (0.0, 3, Proposal(1, Reason.SCALED_DOWN)),
        (0.0, 1, Proposal(1, Reason.AT_MIN)),
        (5.0, 0, None),
        (5.0, 120, Proposal(100, Reason.AT_MAX)),
    ],
)
def test_one_sync(metric: float, replicas: int, expected: Proposal | None) -> None:
    scaler = hpa(down=msgspec.structs.replace(UNLIMITED, stabilization_window_seconds=0))
    assert sync(scaler, 0, metric, replicas) == expected


def test_too_few_replicas_are_raised_at_once_whatever_the_rate() -> None:
    scaler = hpa(min_replicas=5, up=ScalingRules(policies=(pods(1, period_seconds=60),)))
    assert sync(scaler, 0, 10.0, 2) == Proposal(5, Reason.AT_MIN)


def test_without_a_metric_nothing_changes_but_the_bounds_hold() -> None:
    assert hpa().sync(0, None, 7, 7) is None
    assert hpa(max_replicas=5).sync(0, None, 7, 7) == Proposal(5, Reason.AT_MAX)


def test_scale_down_waits_for_the_highest_recommendation_to_leave_the_window() -> None:
    scaler = hpa(down=msgspec.structs.replace(UNLIMITED, stabilization_window_seconds=120))
    assert sync(scaler, 0, 10.0, 10) == Proposal(10, Reason.STEADY)
    assert sync(scaler, 15, 6.0, 10) == Proposal(10, Reason.STABILIZED)
    for seconds in (30, 45, 60, 75, 90, 105):
        assert sync(scaler, seconds, 1.0, 10) == Proposal(10, Reason.STABILIZED)
    # The 10 is exactly 120 s old and no longer counts; the 6 counts until 135 s.
    assert sync(scaler, 120, 1.0, 10) == Proposal(6, Reason.SCALED_DOWN)
    assert sync(scaler, 134, 1.0, 6) == Proposal(6, Reason.STABILIZED)
    assert sync(scaler, 135, 1.0, 6) == Proposal(1, Reason.SCALED_DOWN)


def test_a_fresh_controller_takes_the_replicas_it_finds_for_a_recommendation() -> None:
    scaler = hpa(down=msgspec.structs.replace(UNLIMITED, stabilization_window_seconds=120))
    assert sync(scaler, 0, 1.0, 10) == Proposal(10, Reason.STABILIZED)
    assert sync(scaler, 119, 1.0, 10) == Proposal(10, Reason.STABILIZED)
    assert sync(scaler, 120, 1.0, 10) == Proposal(1, Reason.SCALED_DOWN)


def test_a_window_on_scale_up_takes_the_lowest_recommendation() -> None:
    scaler = hpa(up=msgspec.structs.replace(UNLIMITED, stabilization_window_seconds=60))
    assert sync(scaler, 0, 2.0, 2) == Proposal(2, Reason.STEADY)
    assert sync(scaler, 30, 9.0, 2) == Proposal(2, Reason.STABILIZED)
    assert sync(scaler, 60, 5.0, 2) == Proposal(5, Reason.SCALED_UP)


def test_scale_down_by_a_quarter_every_thirty_seconds() -> None:
    scaler = hpa(down=ScalingRules(policies=(percent(25, period_seconds=30),)))
    replicas, seen = 16, []
    for seconds in range(0, 200, 15):
        proposal = sync(scaler, seconds, 1.0, replicas)
        assert proposal is not None
        replicas = proposal.replicas
        seen.append(replicas)
    # Every second sync may act; the one between is limited to what is left of the period.
    assert seen == [12, 12, 9, 9, 6, 6, 4, 4, 3, 3, 2, 2, 1, 1]


def test_a_bound_goes_before_a_rate_that_ends_at_it() -> None:
    slowly = ScalingRules(policies=(pods(5, period_seconds=15),))
    rising, falling = hpa(up=slowly), hpa(down=slowly)
    assert sync(rising, 0, 500.0, 95) == Proposal(100, Reason.SCALED_UP)
    assert sync(rising, 5, 500.0, 100) == Proposal(100, Reason.AT_MAX)
    assert sync(falling, 0, 0.0, 6) == Proposal(1, Reason.SCALED_DOWN)
    assert sync(falling, 5, 0.0, 1) == Proposal(1, Reason.AT_MIN)


def test_a_direction_forgets_by_its_own_longest_period() -> None:
    """The +5 is out of date for scaling up, and the +3 takes its place: scaling down misses it too."""
    scaler = hpa(
        up=ScalingRules(policies=(pods(100, period_seconds=15),)),
        down=ScalingRules(policies=(pods(1, period_seconds=60),)),
    )
    assert sync(scaler, 0, 7.0, 2) == Proposal(7, Reason.SCALED_UP)
    assert sync(scaler, 20, 10.0, 7) == Proposal(10, Reason.SCALED_UP)
    assert sync(scaler, 30, 1.0, 10) == Proposal(6, Reason.SCALED_DOWN)


def test_disabled_directions_do_not_move() -> None:
    frozen = ScalingRules(policies=(pods(9, period_seconds=1),), select_policy=SelectPolicy.DISABLED)
    assert sync(hpa(up=frozen), 0, 9.0, 3) == Proposal(3, Reason.SCALE_UP_LIMITED)
    assert sync(hpa(down=frozen), 0, 1.0, 3) == Proposal(3, Reason.SCALE_DOWN_LIMITED)


METRICS = st.lists(st.tuples(st.sampled_from([5.0, 15.0, 22.5]), st.floats(0, 60)), min_size=1, max_size=40)
RULES = st.builds(
    ScalingRules,
    policies=st.lists(
        st.builds(
            lambda make, value, period: make(value, period_seconds=period),
            st.sampled_from([pods, percent]),
            st.integers(1, 120),
            st.sampled_from([15.0, 30.0, 60.0]),
        ),
        min_size=1,
        max_size=3,
    ).map(tuple),
    select_policy=st.sampled_from(SelectPolicy),
    stabilization_window_seconds=st.sampled_from([0.0, 30.0, 120.0]),
)


def run(
    scaler: HorizontalPodAutoscaler, metrics: list[tuple[float, float]], replicas: int
) -> list[tuple[float, int, int]]:
    """Sync after each pause; return (seconds, recommended, replicas after)."""
    seconds, trace = 0.0, []
    for pause, metric in metrics:
        seconds += pause
        recommended = scaler.recommend(round(metric * MILLI), replicas)
        proposal = sync(scaler, seconds, metric, replicas)
        assert proposal is not None
        replicas = proposal.replicas
        trace.append((seconds, recommended, replicas))
    return trace


@given(up=RULES, down=RULES, metrics=METRICS, start=st.integers(2, 50))
def test_replicas_stay_within_their_bounds(
    up: ScalingRules, down: ScalingRules, metrics: list[tuple[float, float]], start: int
) -> None:
    trace = run(hpa(up=up, down=down, min_replicas=2, max_replicas=50), metrics, start)
    assert all(2 <= replicas <= 50 for _, _, replicas in trace)


@given(down=RULES, metrics=METRICS, start=st.integers(1, 50))
def test_scale_down_never_passes_the_highest_recommendation_of_its_window(
    down: ScalingRules, metrics: list[tuple[float, float]], start: int
) -> None:
    trace = run(hpa(down=down, max_replicas=1_000), metrics, start)
    window, before = down.stabilization_window_seconds, start
    for index, (seconds, _, replicas) in enumerate(trace):
        if replicas < before:
            recent = [value for at, value, _ in trace[:index] if at > seconds - window]
            assert replicas >= max([trace[index][1], *recent])
        before = replicas


@given(
    value=st.integers(1, 20),
    period=st.sampled_from([15.0, 30.0, 60.0]),
    metrics=METRICS,
    start=st.integers(1, 50),
)
def test_no_window_ever_sees_more_change_than_its_policy_allows(
    value: int, period: float, metrics: list[tuple[float, float]], start: int
) -> None:
    """Counted from a period's start to a change: changes down and up again within it cancel out."""
    limit = ScalingRules(policies=(pods(value, period_seconds=period),))
    trace = run(hpa(up=limit, down=limit), metrics, start)
    befores = [start, *(replicas for _, _, replicas in trace)]
    changes = [(at, after - before) for before, (at, _, after) in zip(befores, trace, strict=False)]
    for end, change in changes:
        net = sum(other for at, other in changes if end - period < at <= end)
        if change > 0:
            assert net <= value
        if change < 0:
            assert net >= -value


@given(existing=st.integers(1, 500), off=st.floats(-0.099, 0.099))
def test_nothing_changes_within_tolerance(existing: int, off: float) -> None:
    proposal = sync(hpa(max_replicas=500), 0, existing * (1 + off), existing)
    assert proposal is not None
    assert proposal.replicas == existing
