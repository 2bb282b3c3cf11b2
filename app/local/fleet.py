"""The local elastic fleet: real worker processes as replicas, as many as the policy asks for."""

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
from app.local.processes import ProcessGroup
from app.policy.autoscaler import Autoscaler, Decision, Measurement
from app.policy.policy import Policy
from app.queues import Queue

MAX_FAILED_STARTS = 3
CLOSE_SECONDS = 10.0


def environment_of(config: Settings, base: Mapping[str, str]) -> dict[str, str]:
    """Return `base` with the FLEET_ variables that make a process read the same `config`."""
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
    started: float
    ending: bool = False
    was_ready: bool = False

    @property
    def ready(self) -> bool:
        """Whether it takes messages: its heartbeat file has appeared."""
        self.was_ready = self.was_ready or self.heartbeat.exists()
        return self.was_ready and not self.ending

    @property
    def worker(self) -> str:
        """What the ledger calls it; see `app.worker.attempt.DocumentTask`."""
        return f"{self.name}@{socket.gethostname()}/{self.process.pid}"


@dataclass
class QueueStatus:
    """A queue as the last step left it."""

    depth: QueueDepth
    decision: Decision
    replicas: int
    """Asked for."""
    ready: int
    """Taking messages."""


@dataclass
class _Fleet:
    autoscaler: Autoscaler
    replicas: list[Replica] = field(default_factory=list)
    asked: int = 0
    failed_starts: int = 0


class LocalFleet:
    """Keeps as many workers for each queue as its policy asks for; call `step` a few times a second.

    Args:
        config: What the workers shall run with; its redis_url and store_url must be set.
        ledger: Where the queues are measured.
        policies: The policy of each queue.
        group: Where the workers run.
        folder: Where their heartbeats and logs lie.
        on_event: Told of what happens, as (what, details).
    """

    def __init__(
        self,
        config: Settings,
        ledger: Ledger,
        policies: Mapping[Queue, Policy],
        *,
        group: ProcessGroup,
        folder: Path,
        on_event: Callable[[str, dict[str, str]], None] | None = None,
    ) -> None:
        self.config = config
        self.ledger = ledger
        self.group = group
        self.folder = folder
        self.replaced = 0
        self._fleets = {queue: _Fleet(Autoscaler(policy)) for queue, policy in policies.items()}
        self._environment = environment_of(config, os.environ)
        self._on_event = on_event or (lambda _what, _details: None)
        self._counter = 0
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def replicas(self) -> list[Replica]:
        """All worker processes that have not ended."""
        return [replica for fleet in self._fleets.values() for replica in fleet.replicas]

    def step(self, depths: Mapping[Queue, QueueDepth]) -> dict[Queue, QueueStatus]:
        """Bring each queue's replicas to what its policy asks for, given what was measured.

        Returns:
            Each queue's state.

        Raises:
            FleetError: where workers cannot start at all.
        """
        now = time.monotonic()
        statuses = {}
        for queue, fleet in self._fleets.items():
            self._reap(queue, fleet)
            depth = depths[queue]
            sample = Measurement(waiting=depth.waiting, inflight=depth.inflight, replicas=fleet.asked)
            decision = fleet.autoscaler.step(now, sample)
            if decision.replicas != fleet.asked:
                details = {"queue": queue.value, "from": str(fleet.asked), "to": str(decision.replicas)}
                self._on_event("scale", {**details, "reason": str(decision.reason)})
                fleet.asked = decision.replicas
            self._adjust(queue, fleet, now)
            statuses[queue] = QueueStatus(
                depth=depth,
                decision=decision,
                replicas=fleet.asked,
                ready=sum(replica.ready for replica in fleet.replicas),
            )
        return statuses

    def _adjust(self, queue: Queue, fleet: _Fleet, now: float) -> None:
        active = [replica for replica in fleet.replicas if not replica.ending]
        for _ in range(fleet.asked - len(active)):
            fleet.replicas.append(self._start(queue, now))
        for replica in reversed(active[fleet.asked :]):  # the youngest first, as a ReplicaSet does
            replica.ending = True
            replica.process.terminate()

    def _start(self, queue: Queue, now: float) -> Replica:
        self._counter += 1
        name = f"{queue.value}-{self._counter}"
        heartbeat, log = self.folder / f"{name}.alive", self.folder / f"{name}.log"
        environment = {**self._environment, "FLEET_HEARTBEAT_FILE": str(heartbeat)}
        command = [sys.executable, "-m", "app.worker", queue.value, "--name", name]
        with log.open("ab") as output:
            process = self.group.start(command, environment=environment, log=output)
        return Replica(name=name, process=process, heartbeat=heartbeat, log=log, started=now)

    def _reap(self, queue: Queue, fleet: _Fleet) -> None:
        """Take note of workers that ended; those that were not told to are replaced by the next adjustment."""
        for replica in [replica for replica in fleet.replicas if replica.process.poll() is not None]:
            # Before it leaves our list: where the server is away, this is done again when it is back.
            self.ledger.forget_presence(replica.worker)
            fleet.replicas.remove(replica)
            if replica.ready:
                fleet.failed_starts = 0
            if replica.ending:
                continue
            if not replica.was_ready:
                fleet.failed_starts += 1
                if fleet.failed_starts >= MAX_FAILED_STARTS:
                    raise FleetError(f"The workers of queue {queue} cannot start: {_last_words(replica.log)}")
            self.replaced += 1
            details = {"queue": queue.value, "worker": replica.name, "exit": str(replica.process.returncode)}
            self._on_event("replaced", details)

    def close(self, *, gracefully: bool = True) -> None:
        """End every worker.

        Args:
            gracefully: What they have in hand goes back to its queue; else they are killed, which is for a
                server that ends with them.
        """
        replicas = self.replicas
        for replica in replicas:
            if not gracefully:
                replica.process.kill()
                continue
            replica.process.terminate()
            if replica.was_ready or replica.ready:
                # The work in hand is cut short instead of waited for.
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
            fleet.asked = 0


def _last_words(log: Path) -> str:
    try:
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        lines = []
    return lines[-1] if lines else "they left no message."
