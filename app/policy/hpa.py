"""The sync of a HorizontalPodAutoscaler with one external metric of type AverageValue and target 1.

It follows kube-controller-manager's horizontal.go and replica_calculator.go (1.33 and later): a recommendation
with the tolerance of its direction, its stabilization over past recommendations, then the rate limits of `behavior`.
"""

from enum import StrEnum

import msgspec

from app.policy.behavior import ScaleEvent, nanoseconds
from app.policy.policy import MILLI, Policy


class Reason(StrEnum):
    """The reason why the replicas change or stay as they are, for people to read."""

    IDLE = "idle: nothing waits or runs"
    ACTIVATED = "activated: work arrived"
    COOLING_DOWN = "cooling down: nothing waits or runs"
    DEACTIVATED = "deactivated: the cooldown is over"
    MEASUREMENT_FAILED = "measurement failed: unchanged"
    FALLBACK = "fallback: the measurement keeps failing"
    STEADY = "steady: the replicas match the metric"
    WITHIN_TOLERANCE = "within tolerance: too small a change"
    SCALED_UP = "scaled up"
    SCALE_UP_LIMITED = "scale-up limited by its policies"
    AT_MAX = "at max_replicas"
    SCALED_DOWN = "scaled down"
    SCALE_DOWN_LIMITED = "scale-down limited by its policies"
    AT_MIN = "at min_replicas"
    STABILIZED = "stabilized by a recent recommendation"


class Proposal(msgspec.Struct, frozen=True):
    """The outcome of a sync: the desired replicas, and why."""

    replicas: int
    reason: Reason


def rounded_up(metric_milli: int) -> int:
    """Return thousandths rounded up to a whole number, in integers: a float could round 3.0 up to 4."""
    return -(-metric_milli // MILLI)


class HorizontalPodAutoscaler:
    """One HPA and its state: past recommendations and past changes."""

    def __init__(self, policy: Policy) -> None:
        # KEDA gives its HPA at least 1: only KEDA itself scales to zero.
        self.min_replicas = policy.woken_replicas
        self.max_replicas = policy.max_replicas
        self.behavior = policy.behavior
        self._most_under, self._most_over = (
            policy.tolerance if rules.tolerance is None else rules.tolerance
            for rules in (policy.behavior.scale_down, policy.behavior.scale_up)
        )
        self._recommendations: list[tuple[int, int]] = []
        self._ups: list[ScaleEvent] = []
        self._downs: list[ScaleEvent] = []
        self._started = False

    def sync(self, now_ns: int, metric_milli: int | None, replicas: int, existing: int) -> Proposal | None:
        """Return the desired replicas; a proposal that differs from `replicas` is remembered as carried out.

        Args:
            now_ns: the caller's monotonic clock, in ns.
            metric_milli: the external metric, summed over all replicas, in thousandths; None: unavailable.
            replicas: desired until now (spec.replicas).
            existing: replicas that exist, ready or not (status.replicas); only the usage ratio uses them.

        Returns:
            None if the HPA does not act: it is disabled at 0 replicas, and without a metric it only brings
            `replicas` back within the bounds.
        """
        if not self._started:
            # A new controller takes the replicas it finds as its first recommendation.
            self._started = True
            self._recommendations.append((now_ns, replicas))
        if replicas == 0:
            return None
        if replicas > self.max_replicas:
            proposal = Proposal(self.max_replicas, Reason.AT_MAX)
        elif replicas < self.min_replicas:
            proposal = Proposal(self.min_replicas, Reason.AT_MIN)
        elif metric_milli is None:
            return None
        else:
            proposal = self._propose(now_ns, metric_milli, replicas, existing)
        if proposal.replicas != replicas:
            self._remember(now_ns, proposal.replicas - replicas)
        return proposal

    def _propose(self, now_ns: int, metric_milli: int, replicas: int, existing: int) -> Proposal:
        """Derive the replicas from the metric: recommend, stabilize, limit."""
        recommended = self.recommend(metric_milli, existing)
        stabilized = self._stabilize(now_ns, replicas, recommended)
        if stabilized != replicas:
            return self._limit(now_ns, replicas, stabilized)
        if recommended != replicas:
            return Proposal(replicas, Reason.STABILIZED)
        exact = rounded_up(metric_milli) == replicas
        return Proposal(replicas, Reason.STEADY if exact else Reason.WITHIN_TOLERANCE)

    def recommend(self, metric_milli: int, existing: int) -> int:
        """Return the recommendation of the metric alone: itself rounded up, or no change within tolerance.

        The bounds are 1 - tolerance (of scaling down) and 1 + tolerance (of scaling up), both included
        (Tolerances.isWithin): with 0.1, 11 documents on 10 replicas change nothing, although abs(1 - 1.1) is a little
        above 0.1 in floats.
        """
        if existing > 0:
            usage_ratio = metric_milli / (MILLI * existing)
            if 1.0 - self._most_under <= usage_ratio <= 1.0 + self._most_over:
                return existing
        return rounded_up(metric_milli)

    def _stabilize(self, now_ns: int, replicas: int, recommended: int) -> int:
        """Clamp `replicas` between the lowest recent recommendation (up) and the highest (down)."""
        up_cutoff = now_ns - nanoseconds(self.behavior.scale_up.stabilization_window_seconds)
        down_cutoff = now_ns - nanoseconds(self.behavior.scale_down.stabilization_window_seconds)
        lowest = min([recommended, *(value for at, value in self._recommendations if at > up_cutoff)])
        highest = max([recommended, *(value for at, value in self._recommendations if at > down_cutoff)])
        oldest = min(up_cutoff, down_cutoff)
        self._recommendations = [item for item in self._recommendations if item[0] > oldest]
        # Remember the recommendation itself: a stabilized one would prolong itself for ever.
        self._recommendations.append((now_ns, recommended))
        return min(max(replicas, lowest), highest)

    def _limit(self, now_ns: int, replicas: int, stabilized: int) -> Proposal:
        """Apply the policies' rates and the bounds; the reason names the limit that applied."""
        events = [*self._ups, *self._downs]
        if stabilized > replicas:
            rate = self.behavior.scale_up.up_limit(replicas, events, now_ns)
            final = min(stabilized, rate, self.max_replicas)
            held = Reason.AT_MAX if rate >= self.max_replicas else Reason.SCALE_UP_LIMITED
            return Proposal(final, Reason.SCALED_UP if final > replicas else held)
        rate = self.behavior.scale_down.down_limit(replicas, events, now_ns)
        final = max(stabilized, rate, self.min_replicas)
        held = Reason.AT_MIN if rate <= self.min_replicas else Reason.SCALE_DOWN_LIMITED
        return Proposal(final, Reason.SCALED_DOWN if final < replicas else held)

    def _remember(self, now_ns: int, change: int) -> None:
        """Record a change for the policies' periods.

        Each direction drops events older than its own longest period, one for each new event, as the HPA does.
        """
        up = change > 0
        events = self._ups if up else self._downs
        rules = self.behavior.scale_up if up else self.behavior.scale_down
        cutoff = now_ns - rules.longest_period_ns
        outdated = [index for index, event in enumerate(events) if event.at_ns < cutoff]
        if outdated:
            del events[outdated[-1]]
        events.append(ScaleEvent(now_ns, change))
