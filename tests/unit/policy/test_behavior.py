"""The rates of the HPA's `behavior` block: Kubernetes' documented examples, and its rounding."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import SettingsError
from app.policy.behavior import (
    Behavior,
    ScaleEvent,
    ScalingPolicy,
    ScalingRules,
    SelectPolicy,
    nanoseconds,
    percent,
    pods,
)

NOW = nanoseconds(1_000)


def rules(*policies: ScalingPolicy, select: SelectPolicy = SelectPolicy.MAX) -> ScalingRules:
    return ScalingRules(policies=policies, select_policy=select)


def event(seconds_ago: float, change: int) -> ScaleEvent:
    return ScaleEvent(NOW - nanoseconds(seconds_ago), change)


@pytest.mark.parametrize(
    ("replicas", "fewest"),
    # The example in Kubernetes' documentation: "no more than 4 pods or 10 % a minute, whichever is more".
    # 10 % of 72 is 7.2, and 8 go; from 40 downwards the 4 pods are more.
    [(80, 72), (72, 64), (50, 45), (41, 36), (40, 36), (39, 35), (10, 6), (4, 0)],
)
def test_documented_scale_down_by_pods_or_percent(replicas: int, fewest: int) -> None:
    both = rules(pods(4, period_seconds=60), percent(10, period_seconds=60))
    assert both.down_limit(replicas, [], NOW) == fewest


@pytest.mark.parametrize(("replicas", "most"), [(1, 5), (2, 6), (4, 8), (5, 10), (40, 80)])
def test_default_scale_up_doubles_or_adds_four(replicas: int, most: int) -> None:
    assert Behavior().scale_up.up_limit(replicas, [], NOW) == most


@pytest.mark.parametrize(("replicas", "fewest"), [(1, 0), (100, 0)])
def test_default_scale_down_may_end_all_at_once(replicas: int, fewest: int) -> None:
    assert Behavior().scale_down.down_limit(replicas, [], NOW) == fewest
    assert Behavior().scale_down.stabilization_window_seconds == 300
    assert Behavior().scale_up.stabilization_window_seconds == 0


@pytest.mark.parametrize(
    ("select", "most", "fewest"),
    [(SelectPolicy.MAX, 30, 10), (SelectPolicy.MIN, 24, 16), (SelectPolicy.DISABLED, 20, 20)],
)
def test_select_policy_chooses_among_the_changes(select: SelectPolicy, most: int, fewest: int) -> None:
    both = rules(pods(4, period_seconds=60), percent(50, period_seconds=60), select=select)
    assert both.up_limit(20, [], NOW) == most
    assert both.down_limit(20, [], NOW) == fewest


@pytest.mark.parametrize(
    ("replicas", "value", "most"),
    [(1, 10, 2), (9, 10, 10), (11, 10, 13), (100, 10, 111), (50, 100, 100)],
)
def test_percent_up_rounds_up_with_the_hpas_own_floats(replicas: int, value: int, most: int) -> None:
    # 100 * (1 + 10 / 100) is 110.00000000000001: the controller really allows 111.
    assert rules(percent(value, period_seconds=15)).up_limit(replicas, [], NOW) == most


@pytest.mark.parametrize(
    ("replicas", "value", "fewest"),
    [(4, 25, 3), (3, 25, 2), (2, 25, 1), (1, 25, 0), (10, 90, 0), (10, 100, 0), (7, 50, 3)],
)
def test_percent_down_rounds_what_stays_towards_zero(replicas: int, value: int, fewest: int) -> None:
    # 10 * (1 - 90 / 100) is 0.9999999999999998, and becomes 0.
    assert rules(percent(value, period_seconds=15)).down_limit(replicas, [], NOW) == fewest


@pytest.mark.parametrize(
    ("events", "most"),
    [
        ([], 14),
        ([event(10, +3)], 11),
        ([event(10, +4)], 10),
        ([event(10, +9)], 10),
        ([event(59, +2), event(30, +1)], 11),
        ([event(60, +4)], 14),
        ([event(90, +4), event(1, +1)], 13),
        ([event(10, +3), event(5, -2)], 13),
    ],
)
def test_a_period_counts_what_was_changed_within_it(events: list[ScaleEvent], most: int) -> None:
    assert rules(pods(4, period_seconds=60)).up_limit(10, events, NOW) == most


def test_each_policy_counts_its_own_period() -> None:
    both = rules(pods(2, period_seconds=10), pods(6, period_seconds=60), select=SelectPolicy.MIN)
    assert both.up_limit(10, [event(20, +3)], NOW) == 12
    assert both.up_limit(10, [event(20, +5)], NOW) == 11
    assert both.up_limit(10, [event(5, +1)], NOW) == 11
    assert both.longest_period_ns == nanoseconds(60)


@given(
    replicas=st.integers(1, 1_000),
    value=st.integers(1, 200),
    changes=st.lists(st.tuples(st.floats(0, 100), st.integers(-50, 50)), max_size=8),
    by_percent=st.booleans(),
)
def test_limits_never_turn_the_direction(
    replicas: int, value: int, changes: list[tuple[float, int]], by_percent: bool
) -> None:
    one = rules((percent if by_percent else pods)(value, period_seconds=60))
    events = [event(ago, change) for ago, change in changes]
    assert one.down_limit(replicas, events, NOW) <= replicas <= one.up_limit(replicas, events, NOW)


def test_values_that_cannot_work_are_refused_with_their_numbers() -> None:
    with pytest.raises(SettingsError, match=r"Pods policy's value \(0\) must be at least 1"):
        pods(0, period_seconds=15)
    for period in (0.0, -1.0, 1_801.0, float("nan")):
        with pytest.raises(SettingsError, match=rf"period \({period:g} s\) must be above 0 and at most 1800"):
            percent(10, period_seconds=period)
    with pytest.raises(SettingsError, match="at least one policy"):
        rules()
    for window in (-1.0, 3_601.0, float("nan")):
        with pytest.raises(SettingsError, match=rf"window \({window:g} s\) must be between 0 and 3600"):
            ScalingRules(policies=(pods(1, period_seconds=1),), stabilization_window_seconds=window)
    for tolerance in (-0.1, 1.0, float("nan")):
        with pytest.raises(
            SettingsError, match=rf"tolerance \({tolerance:g}\) must be at least 0 and below 1"
        ):
            ScalingRules(policies=(pods(1, period_seconds=1),), tolerance=tolerance)
