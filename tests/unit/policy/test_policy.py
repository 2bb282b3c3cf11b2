"""The formula, the settings and their limits."""

import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import SettingsError
from app.policy.behavior import ScalingPolicyType, ScalingRules
from app.policy.policy import MILLI, Fallback, FallbackBehavior, Policy, backlog_per_replica

POLICIES = st.builds(
    Policy,
    max_replicas=st.integers(1, 200),
    backlog_per_replica=st.integers(1, 1_000),
)
DOCUMENTATION = Path(__file__).parents[3] / "docs" / "scaling.md"
NUMBERS = (
    "polling_seconds",
    "cooldown_seconds",
    "sync_seconds",
    "tolerance",
    "min_replicas",
    "activation_target",
)
COUNTS = st.integers(0, 100_000)


@pytest.mark.parametrize(
    ("waiting", "running", "backlog", "milli"),
    [
        (0, 0, 20, 0),
        (1, 0, 20, 50),
        (1_000, 0, 20, 50_000),
        (0, 7, 20, 7_000),  # seven run and nothing waits: seven replicas are busy
        (100, 4, 20, 5_200),
        (100, 6, 20, 6_000),
        (1, 0, 1_000, 1),  # the least that KEDA can distinguish from 0
        (2, 0, 3, 666),  # truncated, not rounded
    ],
)
def test_formula_in_thousandths(waiting: int, running: int, backlog: int, milli: int) -> None:
    policy = Policy(max_replicas=10, backlog_per_replica=backlog)
    assert policy.metric_milli(waiting, running) == milli


@given(policy=POLICIES, waiting=COUNTS, running=COUNTS, more=st.integers(1, 1_000))
def test_more_work_never_needs_fewer_replicas(policy: Policy, waiting: int, running: int, more: int) -> None:
    metric = policy.metric_milli(waiting, running)
    assert policy.metric_milli(waiting + more, running) >= metric
    assert policy.metric_milli(waiting, running + more) >= metric


@given(policy=POLICIES, waiting=COUNTS, replicas=st.integers(1, 200), data=st.data())
def test_a_started_document_never_lowers_the_metric_nor_lifts_it_above_the_busy_replicas(
    policy: Policy, waiting: int, replicas: int, data: st.DataObject
) -> None:
    started = data.draw(st.integers(0, min(waiting, replicas)))
    before, after = policy.metric_milli(waiting, 0), policy.metric_milli(waiting - started, started)
    assert before <= after <= max(before, replicas * MILLI)


@given(policy=POLICIES, replicas=st.integers(0, 10_000))
def test_whole_multiples_are_not_off_by_a_float(policy: Policy, replicas: int) -> None:
    assert policy.metric_milli(replicas * policy.backlog_per_replica, 0) == replicas * MILLI


@given(policy=POLICIES)
def test_one_document_is_always_seen(policy: Policy) -> None:
    assert policy.metric_milli(1, 0) > 0
    assert policy.metric_milli(0, 1) > 0


@pytest.mark.parametrize(
    ("drain", "seconds", "expected"),
    [
        (60, 0.5, 120),
        (60, 1.5, 40),
        (10, 3, 3),  # rounded down: three in time, a fourth too late
        (0.3, 0.1, 3),
        (1, 5, 1),
        (3_600, 0.03, 1_000),
    ],
)
def test_backlog_per_replica(drain: float, seconds: float, expected: int) -> None:
    assert backlog_per_replica(drain, seconds) == expected


@given(drain=st.floats(1e-300, 1e300), seconds=st.floats(1e-300, 1e300))
def test_any_backlog_per_replica_makes_a_policy(drain: float, seconds: float) -> None:
    backlog = backlog_per_replica(drain, seconds)
    assert Policy(max_replicas=1, backlog_per_replica=backlog).metric_milli(1, 0) >= 1


@pytest.mark.parametrize("value", [0.0, -1.0, float("inf"), float("nan")])
def test_a_backlog_from_impossible_times_is_refused(value: float) -> None:
    with pytest.raises(SettingsError, match=rf"target_drain_seconds \({value:g}\) must be above 0"):
        backlog_per_replica(value, 1.0)
    with pytest.raises(SettingsError, match=rf"seconds_per_document \({value:g}\) must be above 0"):
        backlog_per_replica(1.0, value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_replicas": 0}, r"max_replicas \(0\) must be at least 1"),
        ({"backlog_per_replica": 0}, r"backlog_per_replica \(0\) must be at least 1"),
        ({"backlog_per_replica": 1_001}, r"backlog_per_replica \(1001\) must be at most 1000"),
        ({"min_replicas": -1}, r"min_replicas \(-1\) must be between 0 and max_replicas \(10\)"),
        ({"min_replicas": 11}, r"min_replicas \(11\) must be between 0 and max_replicas \(10\)"),
        ({"polling_seconds": 0.0}, r"polling_seconds \(0 s\) must be above 0"),
        ({"sync_seconds": -15.0}, r"sync_seconds \(-15 s\) must be above 0"),
        ({"sync_seconds": float("inf")}, r"sync_seconds \(inf s\) must be above 0 and finite"),
        ({"cooldown_seconds": -1.0}, r"cooldown_seconds \(-1\) must be at least 0"),
        ({"activation_target": float("nan")}, r"activation_target \(nan\) must be at least 0"),
        ({"wake_replicas": 0}, r"wake_replicas \(0\) must be between 1 and max_replicas \(10\)"),
        ({"wake_replicas": 11}, r"wake_replicas \(11\) must be between 1 and max_replicas \(10\)"),
        (
            {"wake_replicas": 3, "min_replicas": 1},
            r"wake_replicas \(3\) wakes a fleet from 0, and min_replicas \(1\) never lets it sleep",
        ),
        ({"tolerance": 1.0}, r"tolerance \(1\) must be at least 0 and below 1"),
    ],
)
def test_settings_that_cannot_work_are_refused_with_their_numbers(
    changes: dict[str, float], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        msgspec.structs.replace(Policy.cluster(10, backlog_per_replica=20), **changes)


def test_a_fallback_that_cannot_work_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"replicas \(0\) must be at least 1"):
        Fallback(replicas=0)
    with pytest.raises(SettingsError, match=r"threshold \(-1\) must be at least 0"):
        Fallback(failure_threshold=-1)


@pytest.mark.parametrize(
    ("behavior", "current", "replicas", "expected"),
    # The examples in KEDA's documentation of fallback.behavior, then the other side of each.
    [
        (FallbackBehavior.STATIC, 2, 6, 6),
        (FallbackBehavior.CURRENT_REPLICAS, 6, 3, 6),
        (FallbackBehavior.CURRENT_REPLICAS_IF_HIGHER, 6, 3, 6),
        (FallbackBehavior.CURRENT_REPLICAS_IF_HIGHER, 2, 3, 3),
        (FallbackBehavior.CURRENT_REPLICAS_IF_LOWER, 3, 6, 3),
        (FallbackBehavior.CURRENT_REPLICAS_IF_LOWER, 9, 6, 6),
    ],
)
def test_fallback_behaviors(behavior: FallbackBehavior, current: int, replicas: int, expected: int) -> None:
    assert Fallback(behavior=behavior, replicas=replicas).replicas_for(current) == expected


def test_local_differs_from_the_cluster_in_times_and_rates_alone() -> None:
    cluster = Policy.cluster(8, backlog_per_replica=20)
    local = Policy.local(8, backlog_per_replica=20)
    timed = ("polling_seconds", "cooldown_seconds", "sync_seconds", "behavior")
    same = {name: getattr(cluster, name) for name in timed}
    assert msgspec.structs.replace(local, **same) == cluster
    assert all(getattr(local, name) < getattr(cluster, name) for name in timed[:-1])


def test_the_documentation_names_the_real_values() -> None:
    rows = {
        name: (cluster, local)
        for name, cluster, local in re.findall(
            r"^\| `?([a-z_ ]+)`? \| [^|]+ \| ([^|]+) \| ([^|]+) \| [^|]+ \|$",
            DOCUMENTATION.read_text(),
            re.MULTILINE,
        )
    }
    for policy, column in ((Policy.cluster(8, backlog_per_replica=20), 0), (Policy.local(8), 1)):
        for name in NUMBERS:
            assert rows[name][column] == f"{getattr(policy, name):g}"
        assert rows["scale up"][column] == in_words(policy.behavior.scale_up)
        assert rows["scale down"][column] == in_words(policy.behavior.scale_down)
        fallback = policy.fallback
        assert fallback is not None
        assert rows["fallback"][column] == f"{fallback.behavior} after {fallback.failure_threshold}"


def in_words(rules: ScalingRules) -> str:
    (period,) = {policy.period_seconds for policy in rules.policies}
    rates = " or ".join(
        f"{policy.value} {'%' if policy.type is ScalingPolicyType.PERCENT else 'pods'}"
        for policy in rules.policies
    )
    window = rules.stabilization_window_seconds
    looks_back = f"{window:g} s" if window else "no"
    tolerance = "" if rules.tolerance is None else f", tolerance {rules.tolerance:g}"
    return f"{rates} in {period:g} s, {looks_back} window{tolerance}"


def test_a_policy_can_be_written_down_and_read_again() -> None:
    policy = Policy.cluster(8, backlog_per_replica=20)
    assert msgspec.json.decode(msgspec.json.encode(policy), type=Policy) == policy
