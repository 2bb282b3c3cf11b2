"""Times of scale-up, drain and scale-down on a cluster; written to bench/results/kind.json (then: `make docs`).

The figures are shares and sums of parts, as the machine's speed drifts; the test asserts counts and states only.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

import pytest
from kubernetes import watch
from urllib3.exceptions import HTTPError

from app.ledger.message import new_id
from app.ledger.models import Submission
from app.queues import Queue
from app.storage.layout import original_key
from bench.kind import Drain, Figures, First, Flood, flood_of
from bench.results import ON_CLUSTER
from tests.support.documents import slow_document
from tests.support.release import Deployment, Pod, Release, is_ready, samples, write_json
from tests.support.waiting import wait_for

REPEATS, LIMITED_REPEATS = 10, 5
WHOLE_CORE = "--set=workers.pdf.resources.limits.cpu=1"
"""The chart's own default; values-kind.yaml gives a worker less, so that nine of them fit a laptop."""
QUICK = (
    "--set=timeLimits.softSeconds=5",
    "--set=timeLimits.graceSeconds=26",
    *("--set=workerDefaults.cooldownSeconds=5", "--set=settings.FLEET_SANDBOX_WALL_SECONDS=5"),
)
"""The shortest times that the chart accepts, so that the fleet is soon at zero again."""
ALONE_DOCUMENTS, DOCUMENTS = 60, 1_000
DRAIN_SECONDS = 900
CURVES = 9_000
"""Number of curves on the page: some 0.2 to 0.4 s of a whole core, so that the work is long compared with its start."""
LIMITS = (*("--set=workers.pdf.secondsPerDocument=2", "--set=workers.pdf.targetDrainSeconds=60"),)


class Seen:
    """When each step between a message and its first worker was first seen, in seconds since the epoch."""

    def __init__(self) -> None:
        self.desired = self.scheduled = self.running = self.ready = 0.0

    def deployment(self, found: Deployment) -> None:
        """Record that a replica is desired."""
        if (found.spec.replicas or 0) > 0:
            self.desired = self.desired or time.time()

    def pod(self, found: Pod) -> None:
        """Record the progress of a pod."""
        now = time.time()
        if found.spec.node_name:
            self.scheduled = self.scheduled or now
        if any(one.state.running for one in found.status.container_statuses or []):
            self.running = self.running or now
        if is_ready(found):
            self.ready = self.ready or now


@contextmanager
def seeing(release: Release) -> Iterator[Seen]:
    """Watch the Deployment and the pods of `pdf`."""
    seen = Seen()
    chosen = {"label_selector": "app.kubernetes.io/component=worker,pdf-fleet/queue=pdf"}
    streams = [
        (release.apps.list_namespaced_deployment, seen.deployment),
        (release.core.list_namespaced_pod, seen.pod),
    ]
    watches = []
    ended = threading.Event()
    for listed, record in streams:
        one: Any = watch.Watch()  # type: ignore[no-untyped-call]  # carries no types
        watches.append(one)

        def follow(one: Any = one, listed: Any = listed, record: Callable[[Any], None] = record) -> None:
            try:
                for event in one.stream(listed, release.namespace, timeout_seconds=120, **chosen):
                    record(event["object"])
            except HTTPError:
                if not ended.is_set():
                    raise  # else `stop` broke the connection

        threading.Thread(target=follow, daemon=True).start()
    try:
        yield seen
    finally:
        ended.set()
        for one in watches:
            one.stop()


def first_documents(release: Release, data: bytes, count: int) -> list[First]:
    """Send one document after the other to an empty fleet, at moments spread evenly between two polls of KEDA.

    KEDA stops the last pod at one of its polls: a document sent as soon as that pod is gone would always wait
    equally long for the next poll.
    """
    between = release.values["workerDefaults"]["pollingSeconds"]
    return [first_document(release, data, later=between * number / count) for number in range(count)]


def first_document(release: Release, data: bytes, *, later: float) -> First:
    """Send one document to an empty fleet, `later` seconds after it became empty."""
    wait_for(lambda: not release.replicas("pdf") and not release.workers("pdf"), "0 workers", seconds=300)
    wait_for(
        lambda: not [pod for pod in release.every_pod() if "-pdf-" in pod.metadata.name],
        "no pod",
        seconds=120,
    )
    empty = time.monotonic()
    batch_id, document_id = new_id(), new_id()
    key = original_key(batch_id, document_id)
    release.store.put(key, data)
    time.sleep(max(0.0, empty + later - time.monotonic()))
    with seeing(release) as seen:
        opened = time.time()
        submission = Submission(document_id=document_id, source="first.pdf")
        release.ledger.open(batch_id, Queue.PDF, [submission])
        counts = release.settled(batch_id)
    assert counts.succeeded == 1
    (document,) = release.documents(batch_id)
    assert document.started is not None
    assert document.finished is not None
    return First(
        poll=seen.desired - opened,
        scheduling=seen.scheduled - seen.desired,
        container=seen.running - seen.scheduled,
        worker=document.started - seen.running,
        work=document.finished - document.started,
        total=document.finished - opened,
    )


def drain(release: Release, count: int) -> tuple[float, float, float, int]:
    """Send `count` equal documents; return the seconds to the end, and from the first start to the end, the mean
    seconds of work a document, and the most pods at work."""
    batch_id = release.submit(*[slow_document(CURVES)] * count)
    most = 0
    deadline = time.monotonic() + DRAIN_SECONDS
    while not release.ledger.batch(batch_id).done:
        assert time.monotonic() < deadline, f"{release.ledger.batch(batch_id)} after {DRAIN_SECONDS} s"
        most = max(most, len(release.ready("pdf")))
        time.sleep(1.0)
    documents = release.documents(batch_id)
    assert all(document.state == "succeeded" for document in documents)
    ends = [document.finished or 0.0 for document in documents]
    starts = [document.started or 0.0 for document in documents]
    work = sum(end - start for start, end in zip(starts, ends, strict=True)) / count
    return max(ends) - min(document.opened for document in documents), max(ends) - min(starts), work, most


def flood(release: Release, documents: list[bytes]) -> Flood:
    """Send documents to an empty fleet, and record it until it is empty again."""
    wait_for(lambda: not any(release.all_replicas().values()), "0 workers", seconds=300)
    wait_for(lambda: not release.workers(), "no pod", seconds=120)
    release.watch()
    release.settled(release.submit(*documents), seconds=DRAIN_SECONDS)
    wait_for(lambda: not any(release.all_replicas().values()), "0 workers", seconds=300)
    wait_for(lambda: not release.workers(), "no pod", seconds=120)
    wait_for(
        lambda: not any(samples(release.records())[-1].queues[name].ready for name in Queue), "its record"
    )
    return flood_of(release.recorded())


@pytest.mark.figures
@pytest.mark.alone
@pytest.mark.timeout(2_400)
def test_the_figures_of_a_fleet_on_kind(release: Release, synthetic: list[bytes]) -> None:
    release.install(*QUICK, WHOLE_CORE)
    firsts = first_documents(release, synthetic[0], REPEATS)
    release.upgrade(*QUICK)
    limited = first_documents(release, synthetic[0], LIMITED_REPEATS)

    release.upgrade()
    documents = synthetic * (DOCUMENTS // len(synthetic))
    flooded = flood(release, documents)
    release.upgrade(f"--set=workers.pdf.wakeReplicas={release.max_replicas('pdf')}")
    woken = flood(release, documents)

    release.upgrade(*LIMITS, "--set=workers.pdf.maxReplicas=1")
    _, alone_seconds, alone_work, most = drain(release, ALONE_DOCUMENTS)
    assert most == 1
    release.upgrade(*LIMITS)
    limit = release.max_replicas("pdf")
    wait_for(lambda: not release.workers("pdf"), "0 workers", seconds=300)
    seconds, _, work, most = drain(release, DOCUMENTS)
    cooldown = release.values["workerDefaults"]["cooldownSeconds"]
    figures = Figures(
        firsts=firsts,
        limited=limited,
        flood=flooded,
        woken=woken,
        drain=Drain(
            documents=DOCUMENTS,
            pods=most,
            seconds=seconds,
            alone_documents=ALONE_DOCUMENTS,
            alone_seconds=alone_seconds,
            alone_work=alone_work,
            work=work,
        ),
        cooldown=cooldown,
    )
    assert most == limit
    assert flooded.gone - flooded.seconds < cooldown + 30
    assert median(first.total for first in firsts) < 60
    write_json(release.folder / "kind.json", figures)
    write_json(ON_CLUSTER, figures)
