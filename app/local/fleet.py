"""The local fleet: worker processes as replicas, started and stopped by each queue's policy."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from app.config import PREFIX, Settings
from app.errors import FleetError
from app.ledger.ledger import Ledger
from app.ledger.models import QueueDepth
from app.local.processes import ProcessGroup, last_line
from app.policy.autoscaler import Autoscaler, Measurement
from app.policy.policy import Policy
from app.queues import Queue
from app.report.timeline import Event, What

MAX_FAILED_STARTS = 3
"""Consecutive workers of a queue that end before they are ready: with so many the run fails."""
CLOSE_SECONDS = 10.0
"""Seconds that the workers have to exit when the fleet is closed; then they are killed."""


def environment_of(config: Settings, base: Mapping[str, str]) -> dict[str, str]:
    """Return `base` with exactly the FLEET_ variables from which `load` reads `config`."""
    environment = {name: value for name, value in base.items() if not name.startswith(PREFIX)}
    default = Settings()
    for name in Settings.__struct_fields__:
        value = getattr(config, name)
        if value != getattr(default, name):
            environment[PREFIX + name.upper()] = str(value)
    return environment


@dataclass
class Replica:
    """One worker process."""

    name: str
    process: "subprocess.Popen[bytes]"
    heartbeat: Path
    log: Path
    stopping: bool = False
    was_ready: bool = False

    @property
    def ready(self) -> bool:
        """Whether it consumes messages: its heartbeat file has appeared, and it was not stopped."""
        self.was_ready = self.was_ready or self.heartbeat.exists()
        return self.was_ready and not self.stopping

    @property
    def worker(self) -> str:
        """Its name in the ledger; see `app.worker.attempt.DocumentTask`."""
        return f"{self.name}@{socket.gethostname()}/{self.process.pid}"


@dataclass
class QueueStatus:
    """A queue's depth and replicas after one step."""

    depth: QueueDepth
    replicas: int
    """Desired replicas."""
    ready: int
    """Replicas that consume messages."""


@dataclass
class _QueueFleet:
    autoscaler: Autoscaler
    replicas: list[Replica] = field(default_factory=list)
    desired: int = 0
    failed_starts: int = 0


class LocalFleet:
    """The workers of each queue, scaled by its policy; call `step` a few times a second.

    Args:
        config: The workers' settings, with redis_url and store_url.
        ledger: Forgets the presence of workers that ended.
        policies: The policy of each queue.
        group: The process group that the workers run in.
        folder: Gets their heartbeats and logs.
        on_event: Called with each change of scale and each replaced worker; `Event.t` is not set.
    """

    def __init__(
        self,
        config: Settings,
        ledger: Ledger,
        policies: Mapping[Queue, Policy],
        *,
        group: ProcessGroup,
        folder: Path,
        on_event: Callable[[Event], None],
    ) -> None:
        self.config = config
        self.ledger = ledger
        self.group = group
        self.folder = folder
        self.replaced = 0
        self._fleets = {queue: _QueueFleet(Autoscaler(policy)) for queue, policy in policies.items()}
        self._environment = environment_of(config, os.environ)
        self._on_event = on_event
        self._counter = 0
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def replicas(self) -> list[Replica]:
        """All worker processes except those that `step` found ended."""
        return [replica for fleet in self._fleets.values() for replica in fleet.replicas]

    def step(self, depths: Mapping[Queue, QueueDepth]) -> dict[Queue, QueueStatus]:
        """Start and stop workers until each queue has the replicas that its policy desires.

        Args:
            depths: The measured depth of each queue.

        Returns:
            The status of each queue.

        Raises:
            FleetError: the workers of a queue cannot start.
            ServerError: the server does not answer.
        """
        now = time.monotonic()
        statuses = {}
        for queue, fleet in self._fleets.items():
            self._reap(queue, fleet)
            depth = depths[queue]
            sample = Measurement(waiting=depth.waiting, running=depth.running, replicas=fleet.desired)
            decision = fleet.autoscaler.step(now, sample)
            if decision.replicas != fleet.desired:
                change = {"before": fleet.desired, "after": decision.replicas}
                reason = str(decision.reason)
                self._on_event(Event(what=What.SCALE, queue=queue.value, message=reason, **change))
                fleet.desired = decision.replicas
            self._adjust(queue, fleet)
            ready = sum(replica.ready for replica in fleet.replicas)
            statuses[queue] = QueueStatus(depth=depth, replicas=fleet.desired, ready=ready)
        return statuses

    def _adjust(self, queue: Queue, fleet: _QueueFleet) -> None:
        active = [replica for replica in fleet.replicas if not replica.stopping]
        for _ in range(fleet.desired - len(active)):
            fleet.replicas.append(self._start(queue))
        for replica in reversed(active[fleet.desired :]):  # the youngest first, as a ReplicaSet does
            replica.stopping = True
            replica.process.terminate()

    def _start(self, queue: Queue) -> Replica:
        self._counter += 1
        name = f"{queue.value}-{self._counter}"
        heartbeat, log = self.folder / f"{name}.alive", self.folder / f"{name}.log"
        environment = {**self._environment, "FLEET_HEARTBEAT_FILE": str(heartbeat)}
        command = [sys.executable, "-m", "app.worker", queue.value, "--name", name]
        with log.open("ab") as output:
            process = self.group.start(command, environment=environment, log=output)
        return Replica(name=name, process=process, heartbeat=heartbeat, log=log)

    def _reap(self, queue: Queue, fleet: _QueueFleet) -> None:
        """Remove the workers that ended; the next `_adjust` replaces those that were not stopped."""
        for replica in [replica for replica in fleet.replicas if replica.process.poll() is not None]:
            # First: if the server is away, the next step does this again.
            self.ledger.forget_workers(queue, replica.worker)
            fleet.replicas.remove(replica)
            if replica.ready:
                fleet.failed_starts = 0
            if replica.stopping:
                continue
            if not replica.was_ready:
                fleet.failed_starts += 1
                if fleet.failed_starts >= MAX_FAILED_STARTS:
                    raise FleetError(f"The workers of queue {queue} cannot start: {last_line(replica.log)}")
            self.replaced += 1
            message = f"queue {queue}, worker {replica.name}, exit {replica.process.returncode}"
            self._on_event(Event(what=What.REPLACED, queue=queue.value, message=message))

    def close(self, *, gracefully: bool = True) -> None:
        """Stop every worker.

        Args:
            gracefully: Whether the workers requeue the documents in progress first. False kills them: for a server that
                is away, or ends with the run.
        """
        replicas = self.replicas
        for replica in replicas:
            if not gracefully:
                replica.process.kill()
                continue
            replica.process.terminate()
            if replica.was_ready or replica.ready:
                # Interrupts the document in progress, which the worker requeues.
                replica.process.send_signal(signal.SIGQUIT)
        deadline = time.monotonic() + CLOSE_SECONDS
        for replica in replicas:
            try:
                replica.process.wait(timeout=max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                replica.process.kill()
                replica.process.wait()
        for fleet in self._fleets.values():
            fleet.replicas.clear()
            fleet.desired = 0
