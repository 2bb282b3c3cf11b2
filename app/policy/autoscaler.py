"""The autoscaler of one queue, KEDA and the HPA together: how many replicas to have now, and why.

KEDA 2.20 polls every `polling_seconds` and takes a fleet from 0 replicas and back to 0 (its
scale_scaledobjects.go and fallback.go); the HPA syncs every `sync_seconds` and scales between 1 and
`max_replicas` (app/policy/hpa.py).
Pure: no clock, no thread, no server; the caller passes the time.
"""

import msgspec

from app.policy.behavior import nanoseconds
from app.policy.hpa import HorizontalPodAutoscaler, Reason
from app.policy.policy import MILLI, Policy


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """One queue at one moment, as the controllers measure it."""

    waiting: int
    """Documents (or plain tasks) that no worker works on."""
    running: int
    """Documents (or plain tasks) that workers work on; those of workers that are being stopped do not count."""
    replicas: int
    """Desired replicas (spec.replicas), whether or not they exist yet."""
    existing: int | None = None
    """Existing replicas, ready or not (status.replicas); None: as many as desired."""


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of a step: the replicas to have from now on, and why."""

    replicas: int
    reason: Reason
    metric: float | None
    """The result of the formula, in replicas; None if the queue could not be measured."""


class Autoscaler:
    """Controller of one queue's replicas under `policy`; it remembers its past decisions."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._hpa = HorizontalPodAutoscaler(policy)
        self._replicas = 0
        self._failures = 0
        self._last_active_ns: int | None = None
        self._next_poll_ns: int | None = None
        self._next_sync_ns: int | None = None
        # KEDA's reason takes precedence over the HPA's; None if KEDA has decided nothing.
        self._keda_reason: Reason | None = None
        self._hpa_reason = Reason.IDLE

    def step(self, now: float, sample: Measurement | None) -> Decision:
        """Return the replicas to have from `now` on.

        Calls may come at any rate: only the first one at or after a due poll or sync changes anything.

        Args:
            now: seconds of a monotonic clock.
            sample: the queue at `now`, or None if it could not be measured.
        """
        now_ns = nanoseconds(now)
        if sample is not None:
            self._replicas = sample.replicas
        existing = self._replicas if sample is None or sample.existing is None else sample.existing
        if self._next_poll_ns is None or now_ns >= self._next_poll_ns:
            # Counted from this poll, as both controllers do, so that no poll follows a late one at once.
            self._next_poll_ns = now_ns + nanoseconds(self.policy.polling_seconds)
            self._poll(now_ns, sample)
        if self._next_sync_ns is None or now_ns >= self._next_sync_ns:
            self._next_sync_ns = now_ns + nanoseconds(self.policy.sync_seconds)
            self._sync(now_ns, sample, existing)
        metric = None if sample is None else self._measure(sample) / MILLI
        return Decision(replicas=self._replicas, reason=self._keda_reason or self._hpa_reason, metric=metric)

    def _poll(self, now_ns: int, sample: Measurement | None) -> None:
        """Do KEDA's poll: activate the fleet, keep it active, or scale it to zero."""
        policy = self.policy
        metric = self._metric(sample)
        if metric is None:
            self._keda_reason = Reason.MEASUREMENT_FAILED
        elif metric > policy.activation_target * MILLI:
            self._last_active_ns = now_ns
            self._keda_reason = Reason.FALLBACK if sample is None else None
            if self._replicas < policy.least_active:
                self._replicas = policy.woken_replicas
                self._keda_reason = Reason.ACTIVATED
                # Also the HPA's reason until its first sync decides the number.
                self._hpa_reason = Reason.ACTIVATED
        elif self._replicas < policy.min_replicas:
            self._replicas = policy.min_replicas
            self._keda_reason = Reason.AT_MIN
        elif policy.min_replicas > 0:
            self._keda_reason = None
        elif self._replicas == 0:
            self._keda_reason = Reason.IDLE
        elif self._cooled_down(now_ns):
            self._replicas = 0
            self._keda_reason = Reason.DEACTIVATED
        else:
            self._keda_reason = Reason.COOLING_DOWN

    def _cooled_down(self, now_ns: int) -> bool:
        """Return whether the cooldown is over; a fleet that KEDA never saw active has none."""
        cooldown_ns = nanoseconds(self.policy.cooldown_seconds)
        return self._last_active_ns is None or self._last_active_ns + cooldown_ns < now_ns

    def _sync(self, now_ns: int, sample: Measurement | None, existing: int) -> None:
        """Do the HPA's sync; at 0 replicas the HPA is disabled and does not even query KEDA for the metric."""
        metric = self._metric(sample) if self._replicas else None
        proposal = self._hpa.sync(now_ns, metric, self._replicas, existing)
        if proposal is None:
            return
        self._hpa_reason = proposal.reason
        if proposal.replicas != self._replicas:
            self._replicas = proposal.replicas
            self._keda_reason = None

    def _metric(self, sample: Measurement | None) -> int | None:
        """Answer one query for the metric, in thousandths, and count failed queries.

        KEDA counts successive failures, of its own queries and of the HPA's. Once they are *more* than the
        threshold, it reports the fallback's replicas as the metric; until then the answer is an error (None).
        """
        if sample is not None:
            self._failures = 0
            return self._measure(sample)
        self._failures += 1
        fallback = self.policy.fallback
        if fallback is None or self._failures <= fallback.failure_threshold:
            return None
        return fallback.replicas_for(self._replicas) * MILLI

    def _measure(self, sample: Measurement) -> int:
        return self.policy.metric_milli(sample.waiting, sample.running)
