"""The HPA's `behavior` block: how fast replicas may come and go (autoscaling/v2 HPAScalingRules).

Pure values and arithmetic in the vocabulary of Kubernetes. Unlike there, times may be fractions of a
second, for a fleet on one machine.
"""

import math
from collections.abc import Sequence
from enum import StrEnum

import msgspec

from app.errors import SettingsError

MAX_PERIOD_SECONDS = 1_800
MAX_WINDOW_SECONDS = 3_600
"""The bounds that the Kubernetes API itself sets for periodSeconds and stabilizationWindowSeconds."""


def nanoseconds(seconds: float) -> int:
    """Return `seconds` as whole nanoseconds.

    Kubernetes counts time this way. In floats, rounding would decide whether an event exactly at a window's
    edge is inside.
    """
    return round(seconds * 1_000_000_000)


class ScalingPolicyType(StrEnum):
    """What a policy's value counts."""

    PODS = "Pods"
    PERCENT = "Percent"


class SelectPolicy(StrEnum):
    """Which of several policies applies: the one that allows the largest change, the smallest, or no change."""

    MAX = "Max"
    MIN = "Min"
    DISABLED = "Disabled"


class ScalingPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """A rate limit: at most `value` pods, or percent of the replicas at the period's start, in `period_seconds`.

    Raises:
        SettingsError: for a value below 1 or a period outside (0, 1800] s.
    """

    type: ScalingPolicyType
    value: int
    period_seconds: float

    def __post_init__(self) -> None:
        if self.value < 1:
            raise SettingsError(f"A {self.type} policy's value ({self.value}) must be at least 1.")
        if not 0 < self.period_seconds <= MAX_PERIOD_SECONDS:
            raise SettingsError(
                f"A policy's period ({self.period_seconds:g} s) must be above 0 and at most "
                f"{MAX_PERIOD_SECONDS} s."
            )


class ScaleEvent(msgspec.Struct, frozen=True):
    """A past change of the replicas by the HPA: when (ns), and by how many (negative: fewer)."""

    at_ns: int
    change: int


class ScalingRules(msgspec.Struct, frozen=True, kw_only=True):
    """The rules of one direction: its policies, which of them applies, its stabilization window (s) and its tolerance.

    Raises:
        SettingsError: for no policy at all, a window outside [0, 3600] s, or a tolerance outside [0, 1).
    """

    policies: tuple[ScalingPolicy, ...]
    select_policy: SelectPolicy = SelectPolicy.MAX
    stabilization_window_seconds: float = 0.0
    tolerance: float | None = None
    """The deviation of usage from its target that changes nothing in this direction; None: the cluster's."""

    def __post_init__(self) -> None:
        if not self.policies:
            raise SettingsError("Scaling rules need at least one policy; 0 were given.")
        if not 0 <= self.stabilization_window_seconds <= MAX_WINDOW_SECONDS:
            raise SettingsError(
                f"A stabilization window ({self.stabilization_window_seconds:g} s) must be between 0 and "
                f"{MAX_WINDOW_SECONDS} s."
            )
        if self.tolerance is not None and not 0 <= self.tolerance < 1:
            raise SettingsError(f"A tolerance ({self.tolerance:g}) must be at least 0 and below 1.")

    @property
    def longest_period_ns(self) -> int:
        """The longest period of the policies (ns), after which none of them counts a scale event."""
        return max(nanoseconds(policy.period_seconds) for policy in self.policies)

    def up_limit(self, replicas: int, events: Sequence[ScaleEvent], now_ns: int) -> int:
        """Return the most replicas that may be desired at `now_ns`; never below `replicas`.

        A percentage rounds up, otherwise 10 % could never turn one replica into two. The sum is in floats, as
        in the HPA: 100 pods and 10 % give 111.
        """
        if self.select_policy is SelectPolicy.DISABLED:
            return replicas
        proposals = [
            start + policy.value
            if policy.type is ScalingPolicyType.PODS
            else math.ceil(start * (1 + policy.value / 100))
            for policy, start in self._starts(replicas, events, now_ns)
        ]
        limit = min(proposals) if self.select_policy is SelectPolicy.MIN else max(proposals)
        return max(limit, replicas)

    def down_limit(self, replicas: int, events: Sequence[ScaleEvent], now_ns: int) -> int:
        """Return the fewest replicas that may be desired at `now_ns`; never above `replicas`.

        The remainder of a percentage rounds towards zero, so that 25 % of three replicas is one replica.
        """
        if self.select_policy is SelectPolicy.DISABLED:
            return replicas
        proposals = [
            start - policy.value
            if policy.type is ScalingPolicyType.PODS
            else int(start * (1 - policy.value / 100))
            for policy, start in self._starts(replicas, events, now_ns)
        ]
        # The smallest change of a scale-down leaves the most replicas.
        limit = max(proposals) if self.select_policy is SelectPolicy.MIN else min(proposals)
        return min(limit, replicas)

    def _starts(
        self, replicas: int, events: Sequence[ScaleEvent], now_ns: int
    ) -> list[tuple[ScalingPolicy, int]]:
        """Pair each policy with the replicas at its period's start, before the changes in both directions."""
        return [
            (policy, replicas - sum(event.change for event in events if event.at_ns > cutoff))
            for policy in self.policies
            for cutoff in [now_ns - nanoseconds(policy.period_seconds)]
        ]


def pods(value: int, *, period_seconds: float) -> ScalingPolicy:
    """Return the policy "at most `value` pods a period"."""
    return ScalingPolicy(type=ScalingPolicyType.PODS, value=value, period_seconds=period_seconds)


def percent(value: int, *, period_seconds: float) -> ScalingPolicy:
    """Return the policy "at most `value` percent a period"."""
    return ScalingPolicy(type=ScalingPolicyType.PERCENT, value=value, period_seconds=period_seconds)


class Behavior(msgspec.Struct, frozen=True, kw_only=True):
    """The rules of both directions; the defaults are those of Kubernetes."""

    scale_up: ScalingRules = ScalingRules(
        policies=(percent(100, period_seconds=15), pods(4, period_seconds=15))
    )
    scale_down: ScalingRules = ScalingRules(
        policies=(percent(100, period_seconds=15),), stabilization_window_seconds=300
    )
