"""The settings of a queue's scaling, and the formula from waiting and running documents to replicas.

The names are those of KEDA's ScaledObject and of the HPA; docs/scaling.md explains each with numbers.
The local fleet takes its numbers from here; tests compare the chart's values with them.
"""

import math
from enum import StrEnum
from typing import Self

import msgspec

from app.errors import SettingsError
from app.policy.behavior import Behavior, ScalingRules, percent, pods

MILLI = 1_000
"""Metrics are whole thousandths, in KEDA's answers as in the HPA's arithmetic."""
MAX_BACKLOG_PER_REPLICA = MILLI
"""KEDA truncates a metric to thousandths: 1 document over a backlog of 1,001 would read 0 and start no replica."""


class FallbackBehavior(StrEnum):
    """The replicas of a queue that cannot be measured; the values are KEDA's."""

    STATIC = "static"
    CURRENT_REPLICAS = "currentReplicas"
    CURRENT_REPLICAS_IF_HIGHER = "currentReplicasIfHigher"
    CURRENT_REPLICAS_IF_LOWER = "currentReplicasIfLower"


class Fallback(msgspec.Struct, frozen=True, kw_only=True):
    """The replacement of the metric after more than `failure_threshold` successive failed measurements.

    Raises:
        SettingsError: for a negative threshold, or replicas below 1: with 0, KEDA treats a queue that cannot be
            measured as empty and scales its fleet to zero.
    """

    failure_threshold: int = 3
    replicas: int = 1
    behavior: FallbackBehavior = FallbackBehavior.CURRENT_REPLICAS

    def __post_init__(self) -> None:
        if self.failure_threshold < 0:
            raise SettingsError(f"The failure threshold ({self.failure_threshold}) must be at least 0.")
        if self.replicas < 1:
            raise SettingsError(f"The fallback's replicas ({self.replicas}) must be at least 1.")

    def replicas_for(self, current: int) -> int:
        """Return the replicas to report as the metric, while `current` are desired."""
        match self.behavior:
            case FallbackBehavior.STATIC:
                return self.replicas
            case FallbackBehavior.CURRENT_REPLICAS:
                return current
            case FallbackBehavior.CURRENT_REPLICAS_IF_HIGHER:
                return max(current, self.replicas)
            case FallbackBehavior.CURRENT_REPLICAS_IF_LOWER:
                return min(current, self.replicas)


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of one queue's scaling; the defaults are the cluster's.

    Raises:
        SettingsError: for values that cannot work; the message has the numbers.
    """

    max_replicas: int
    backlog_per_replica: int
    """Documents, waiting or running, per replica; see `backlog_per_replica()`."""
    min_replicas: int = 0
    wake_replicas: int | None = None
    """KEDA's minReplicaCount beside an idleReplicaCount of 0: the first poll that sees work raises 0 to this, and no
    fewer run until the cooldown is over; None: from 0 to 1."""
    activation_target: float = 0.0
    """KEDA activates a fleet, and keeps it active, while the metric (in replicas, not documents) exceeds this."""
    polling_seconds: float = 1.0
    """KEDA's pollingInterval: applies to 0 <-> 1 only."""
    cooldown_seconds: float = 60.0
    """KEDA's cooldownPeriod: applies to N -> 0 only. It may be shorter than a document: running ones keep the fleet."""
    sync_seconds: float = 15.0
    """--horizontal-pod-autoscaler-sync-period of the kube-controller-manager: applies to 1 <-> N."""
    tolerance: float = 0.1
    """--horizontal-pod-autoscaler-tolerance, for a direction whose rules have none of their own."""
    behavior: Behavior = Behavior(
        scale_up=ScalingRules(
            policies=(pods(100, period_seconds=15), percent(100, period_seconds=15)), tolerance=0.0
        ),
        scale_down=ScalingRules(policies=(percent(50, period_seconds=15),)),
    )
    fallback: Fallback | None = Fallback()

    def __post_init__(self) -> None:
        for name in ("max_replicas", "backlog_per_replica"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} ({getattr(self, name)}) must be at least 1.")
        for name in ("polling_seconds", "sync_seconds"):
            if not 0 < getattr(self, name) < math.inf:
                raise SettingsError(f"{name} ({getattr(self, name):g} s) must be above 0 and finite.")
        self._check_replicas()
        if self.backlog_per_replica > MAX_BACKLOG_PER_REPLICA:
            raise SettingsError(
                f"backlog_per_replica ({self.backlog_per_replica}) must be at most "
                f"{MAX_BACKLOG_PER_REPLICA}: above, KEDA rounds a single waiting document down to 0."
            )
        if not 0 <= self.tolerance < 1:
            raise SettingsError(f"tolerance ({self.tolerance:g}) must be at least 0 and below 1.")
        for name in ("cooldown_seconds", "activation_target"):
            if not 0 <= getattr(self, name) < math.inf:
                raise SettingsError(f"{name} ({getattr(self, name):g}) must be at least 0 and finite.")

    def _check_replicas(self) -> None:
        least, wake, most = self.min_replicas, self.wake_replicas, self.max_replicas
        if not 0 <= least <= most:
            raise SettingsError(f"min_replicas ({least}) must be between 0 and max_replicas ({most}).")
        if wake is None:
            return
        if least:
            raise SettingsError(
                f"wake_replicas ({wake}) wakes a fleet from 0, and min_replicas ({least}) never lets it sleep: "
                "use one of them."
            )
        if not 1 <= wake <= most:
            raise SettingsError(f"wake_replicas ({wake}) must be between 1 and max_replicas ({most}).")

    @property
    def woken_replicas(self) -> int:
        """The fewest replicas of a fleet that is awake."""
        return max(1, self.wake_replicas or self.min_replicas)

    @property
    def least_active(self) -> int:
        """KEDA itself scales up a fleet with work that has fewer replicas than this."""
        return self.wake_replicas or 1

    @classmethod
    def cluster(cls, max_replicas: int, *, backlog_per_replica: int, min_replicas: int = 0) -> Self:
        """Return the policy of a queue on Kubernetes, with the default times."""
        return cls(
            max_replicas=max_replicas, backlog_per_replica=backlog_per_replica, min_replicas=min_replicas
        )

    @classmethod
    def local(cls, max_replicas: int, *, backlog_per_replica: int = 20) -> Self:
        """Return the policy of a queue on this machine, with short times: replicas are processes and start at once."""
        return cls(
            max_replicas=max_replicas,
            backlog_per_replica=backlog_per_replica,
            polling_seconds=0.25,
            cooldown_seconds=3.0,
            sync_seconds=0.5,
            behavior=Behavior(
                scale_up=ScalingRules(policies=(percent(100, period_seconds=0.5),), tolerance=0.0),
                scale_down=ScalingRules(
                    policies=(percent(50, period_seconds=0.5),), stabilization_window_seconds=2.0
                ),
            ),
        )

    def metric_milli(self, waiting: int, running: int) -> int:
        """Return the replicas that the queue needs, in thousandths, truncated as KEDA does it.

        max(running, (waiting + running) / backlog_per_replica): the second term covers all work; the first keeps
        every busy replica, as a replica has one document in progress.
        """
        metric = max(running, (waiting + running) / self.backlog_per_replica)
        return int(metric * MILLI)


def backlog_per_replica(target_drain_seconds: float, seconds_per_document: float) -> int:
    """Return how many documents one replica finishes in `target_drain_seconds`.

    The quotient of the two times is rounded down and clamped between 1 and 1,000, the most that KEDA's thousandths
    allow (the fleet then drains sooner).

    Raises:
        SettingsError: for a value that is not above 0 and finite.
    """
    values = {"target_drain_seconds": target_drain_seconds, "seconds_per_document": seconds_per_document}
    for name, value in values.items():
        if not 0 < value < math.inf:
            raise SettingsError(f"{name} ({value:g}) must be above 0 and finite.")
    documents = min(target_drain_seconds / seconds_per_document, MAX_BACKLOG_PER_REPLICA)
    # 0.3 s at 0.1 s each is 2.9999999999999996 in floats, and 3 documents.
    return max(math.floor(documents + 1e-9), 1)
