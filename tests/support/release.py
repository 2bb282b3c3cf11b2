"""One installation of the chart in a namespace of its own, with the queries and actions of the tests."""

import base64
import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import msgspec
from kubernetes import client, config

from app.config import Settings
from app.errors import FleetError
from app.ledger.ledger import Ledger
from app.ledger.message import new_id
from app.ledger.models import BatchCounts, Document, Submission
from app.queues import Queue
from app.report import timeline
from app.storage.layout import original_key
from app.storage.store import ObjectStore
from tests.support.ledger import batch_documents
from tests.support.waiting import wait_for
from tools.kind.command import environment, output
from tools.kind.kind import ROOT, KindCluster

NAME = "fleet"
CHART = ROOT / "helm" / "pdf-fleet"
VALUES = ROOT / "k8s" / "values-kind.yaml"
TIMEOUT_SECONDS = 300.0
"""Time limit of a wait, for a loaded machine."""
LONG_DOCUMENTS = (
    "--set=timeLimits.softSeconds=200",
    "--set=timeLimits.graceSeconds=420",
    "--set=settings.FLEET_SANDBOX_WALL_SECONDS=200",
)
"""Limits that allow a document 200 s, on a host without a spare core: it takes some 70 s of its pod's CPU share."""

Api = Any
"""An API of the client: its types declare every field Optional and forbid the plain dicts that it takes."""
Pod = Any
Deployment = Any


class Release:
    """The chart installed as `fleet` in `namespace`; removed, with its namespace, by `close`.

    Args:
        cluster: The kind cluster.
        image: The fleet's image, on every node.
        namespace: Name of the namespace; `make_namespace` creates it.
        folder: Where artifacts go.
    """

    def __init__(self, cluster: KindCluster, image: str, namespace: str, folder: Path) -> None:
        self.cluster = cluster
        self.kube = cluster.kube
        self.image = image
        self.namespace = namespace
        self.folder = folder
        self._stack = ExitStack()
        folder.mkdir(parents=True, exist_ok=True)
        loaded: Any = config.new_client_from_config(str(cluster.kubeconfig), context=self.kube.context)  # type: ignore[no-untyped-call]  # carries no types
        self._connections = loaded.rest_client.pool_manager
        self.core: Api = client.CoreV1Api(loaded)
        self.apps: Api = client.AppsV1Api(loaded)
        self.batch: Api = client.BatchV1Api(loaded)
        self.custom: Api = client.CustomObjectsApi(loaded)
        self.scaling: Api = client.AutoscalingV2Api(loaded)
        self.watching: subprocess.Popen[bytes] | None = None

    # The chart.

    def make_namespace(self) -> None:
        """Create the namespace; it admits only pods of the standard `restricted`."""
        labels = {"pod-security.kubernetes.io/enforce": "restricted", "pdf-fleet/e2e": "true"}
        self.core.create_namespace({"metadata": {"name": self.namespace, "labels": labels}})

    def helm(self, *arguments: str) -> str:
        """Run helm for this namespace."""
        return output(*self.kube.helm(*arguments, f"--namespace={self.namespace}"))

    def install(self, *arguments: str, producer: bool = False) -> Self:
        """Install the chart and wait until its pods are ready and KEDA measures its queues."""
        return self._apply("install", *arguments, producer=producer)

    def upgrade(self, *arguments: str, producer: bool = False) -> Self:
        """Upgrade the chart to other values."""
        return self._apply("upgrade", *arguments, producer=producer)

    def _apply(self, verb: str, *arguments: str, producer: bool) -> Self:
        repository, _, tag = self.image.partition(":")
        self.helm(
            *(verb, NAME, str(CHART), f"--values={VALUES}"),
            f"--set-string=image.repository={repository},image.tag={tag}",
            f"--set=producer.enabled={str(producer).lower()}",
            *("--wait", f"--timeout={TIMEOUT_SECONDS:.0f}s", *arguments),
        )
        self.kube.wait(
            "condition=Ready", "scaledobjects", "--all", f"--namespace={self.namespace}", seconds=120
        )
        return self

    @property
    def values(self) -> dict[str, Any]:
        """All values of the release, defaults included."""
        return dict(json.loads(self.helm("get", "values", NAME, "--all", "--output=json")))

    # State.

    def pods(self, component: str | None = None, *, queue: str | None = None) -> list[Pod]:
        """Return the pods of a component, or the workers of a queue, that are not terminating."""
        chosen = [f"app.kubernetes.io/instance={NAME}"]
        chosen += [f"app.kubernetes.io/component={component}"] if component else []
        chosen += [f"pdf-fleet/queue={queue}"] if queue else []
        found = self.core.list_namespaced_pod(self.namespace, label_selector=",".join(chosen)).items
        return [pod for pod in found if pod.metadata.deletion_timestamp is None]

    def every_pod(self) -> list[Pod]:
        """Return all pods of the namespace, terminating ones too."""
        return list(self.core.list_namespaced_pod(self.namespace).items)

    def workers(self, queue: str | None = None) -> list[Pod]:
        """Return the worker pods of one queue or of all that are not terminating."""
        return self.pods("worker", queue=queue)

    def ready(self, queue: str | None = None) -> list[Pod]:
        """Return the worker pods that are ready."""
        return [pod for pod in self.workers(queue) if is_ready(pod)]

    def deployment(self, queue: str) -> Deployment:
        """Return the Deployment of a queue's workers."""
        chosen = f"app.kubernetes.io/instance={NAME},pdf-fleet/queue={queue}"
        (found,) = self.apps.list_namespaced_deployment(self.namespace, label_selector=chosen).items
        return found

    def replicas(self, queue: str) -> int:
        """Return the desired number of workers of a queue."""
        return int(self.deployment(queue).spec.replicas or 0)

    def all_replicas(self) -> dict[str, int]:
        """Return the desired number of workers of each queue."""
        return {queue.value: self.replicas(queue.value) for queue in Queue}

    def restarts(self) -> dict[str, int]:
        """Return the number of container restarts of each pod that has any."""
        counted = {
            pod.metadata.name: sum(one.restart_count for one in pod.status.container_statuses or [])
            for pod in self.pods()
        }
        return {name: count for name, count in counted.items() if count}

    def object_name(self, component: str) -> str:
        """Return the name that the chart gives a component's object."""
        return f"{NAME}-{component}"

    def secret(self, component: str) -> dict[str, str]:
        """Return a Secret's values."""
        found = self.core.read_namespaced_secret(self.object_name(component), self.namespace)
        return {key: base64.b64decode(value).decode() for key, value in (found.data or {}).items()}

    # Actions.

    def execute(self, pod: Pod | str, *command: str) -> str:
        """Run a command in a pod; return its standard output and standard error, whatever its exit code."""
        name = pod if isinstance(pod, str) else pod.metadata.name
        line = self.kube.command("exec", name, f"--namespace={self.namespace}", "--", *command)
        run = subprocess.run(line, capture_output=True, text=True, env=environment(), check=False)
        return run.stdout + run.stderr

    def delete_pod(self, pod: Pod | str, *, force: bool = False) -> None:
        """Delete a pod; with `force` immediately, without its grace period."""
        name = pod if isinstance(pod, str) else pod.metadata.name
        self.core.delete_namespaced_pod(
            name, self.namespace, **({"grace_period_seconds": 0} if force else {})
        )

    # The ledger and the store, through ports forwarded by kubectl.

    @cached_property
    def ledger(self) -> Ledger:
        """The release's ledger; it reconnects if the Redis pod is replaced."""
        password = self.secret("redis")["password"]
        forward = self._stack.enter_context(Forward(self, f"service/{self.object_name('redis')}", 6379))
        return Ledger.of(Settings(redis_url=f"redis://fleet:{password}@127.0.0.1:{forward.port}/0"))

    @cached_property
    def store(self) -> ObjectStore:
        """The release's object store."""
        secret = self.secret("store")
        forward = self._stack.enter_context(Forward(self, f"service/{self.object_name('store')}", 7070))
        os.environ |= {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{forward.port}",
            "AWS_ACCESS_KEY_ID": secret["access-key"],
            "AWS_SECRET_ACCESS_KEY": secret["secret-key"],
            "AWS_REGION": "us-east-1",
        }
        return ObjectStore("s3://documents", timeout_seconds=30.0)

    def submit(self, *data: bytes) -> str:
        """Send documents through the queue `pdf`; return their batch."""
        batch_id = new_id()
        originals = {new_id(): one for one in data}
        self.put(batch_id, originals)
        names = enumerate(originals)
        submissions = [Submission(document_id=one, source=f"{number}.pdf") for number, one in names]
        self.ledger.open(batch_id, Queue.PDF, submissions)
        return batch_id

    def put(self, batch_id: str, originals: Mapping[str, bytes]) -> None:
        """Put the originals of a batch into the store, by their documents' ids."""
        put = self.store.put
        with ThreadPoolExecutor(8) as pool:
            keys = [original_key(batch_id, document_id) for document_id in originals]
            list(pool.map(put, keys, originals.values()))

    def forget_ports(self) -> None:
        """Close the forwarded ports; the next use of ledger or store opens them again."""
        self._stack.close()
        self._stack = ExitStack()
        for name in ("ledger", "store"):
            self.__dict__.pop(name, None)

    def job_done(self, name: str) -> bool:
        """Return whether a Job is complete.

        Raises:
            AssertionError: the Job has failed.
        """
        status = self.batch.read_namespaced_job(name, self.namespace).status
        conditions = {one.type: one.status for one in status.conditions or []}
        assert conditions.get("Failed") != "True", self.job_log(name)
        return bool(conditions.get("Complete") == "True")

    def max_replicas(self, queue: str) -> int:
        """Return the maximum number of workers of a queue."""
        name = self.object_name(f"worker-{queue}")
        found = self.kube.items("scaledobject", name, f"--namespace={self.namespace}")
        return int(found[0]["spec"]["maxReplicaCount"])

    def flood_by_job(self, name: str) -> None:
        """Create a producer's Job from its CronJob, as NOTES.txt describes."""
        cronjob = self.object_name("flood")
        self.kube.run("create", "job", name, f"--from=cronjob/{cronjob}", f"--namespace={self.namespace}")

    def job_log(self, name: str) -> str:
        """Return the log of a Job's pods."""
        return self.kube.run("logs", f"job/{name}", f"--namespace={self.namespace}", "--tail=-1")

    def documents(self, batch_id: str) -> list[Document]:
        """Return the ledger's records of a batch's documents."""
        found = self.ledger.documents(batch_documents(self.ledger, batch_id))
        assert None not in found
        return [document for document in found if document is not None]

    def settled(self, batch_id: str, *, seconds: float = TIMEOUT_SECONDS) -> BatchCounts:
        """Wait until a batch is settled; return its counts."""
        wait_for(lambda: self.ledger.batch(batch_id).done, f"the end of batch {batch_id}", seconds=seconds)
        return self.ledger.batch(batch_id)

    # Watching.

    def watch(self) -> Path:
        """Record the fleet with `fleet watch` from now on; return the recording's path."""
        path = self.folder / "timeline.jsonl"
        with (self.folder / "watch.log").open("wb") as log:
            self.watching = subprocess.Popen(
                [
                    *(sys.executable, "-m", "app.cli.main", "watch", "--namespace", self.namespace),
                    *("--context", self.kube.context, "--record", str(path)),
                ],
                env={**environment(), "KUBECONFIG": str(self.cluster.kubeconfig)},
                stdout=log,
                stderr=log,
                cwd=ROOT,
            )
        wait_for(lambda: path.exists() and b'"sample"' in path.read_bytes(), "the first sample")
        return path

    def records(self) -> list[timeline.Record]:
        """Return what is recorded so far."""
        return timeline.read(self.folder / "timeline.jsonl")

    def recorded(self) -> list[timeline.Record]:
        """Stop the recording and return it."""
        assert self.watching is not None
        self.watching.terminate()
        self.watching.wait(timeout=30)
        return self.records()

    # The end.

    def dump(self) -> None:
        """Write the state of the namespace to files, to explain a failed test."""
        where = f"--namespace={self.namespace}"
        for name, command in {
            "events.txt": ("get", "events", "--sort-by=.lastTimestamp"),
            "objects.txt": ("get", "all,scaledobjects,hpa,pvc,networkpolicies", "--output=wide"),
            "scaledobjects.yaml": ("get", "scaledobjects,hpa", "--output=yaml"),
            "pods.txt": ("describe", "pods"),
        }.items():
            text = self._dump(name, *command, where)
            if name in {"events.txt", "objects.txt"}:
                # Also to the test's output, for runs whose log alone is kept.
                print(f"{name}:", *text.splitlines()[-40:], sep="\n")
        for pod in self.core.list_namespaced_pod(self.namespace).items:
            name = pod.metadata.name
            self._dump(f"{name}.log", "logs", name, "--all-containers", "--tail=-1", where)
            self._dump(f"{name}.previous.log", "logs", name, "--previous", where)
        self._dump("keda.log", "logs", "deployment/keda-operator", "--namespace=keda", "--tail=500")

    def _dump(self, name: str, *command: str) -> str:
        try:
            text = self.kube.run(*command)
        except FleetError as error:
            text = error.message
        (self.folder / name).write_text(text)
        return text

    def close(self, *, keep: bool) -> None:
        """Stop the processes started here; remove the namespace unless `keep` is set."""
        if self.watching is not None and self.watching.poll() is None:
            self.watching.terminate()
            self.watching.wait(timeout=30)
        self._stack.close()
        if not keep:
            self.core.delete_namespace(self.namespace)
        self._connections.clear()


class Forward:
    """`kubectl port-forward` to a port, restarted when its pod is gone; a context manager."""

    def __init__(self, release: Release, target: str, port: int) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = int(free.getsockname()[1])
        self._command = release.kube.command(
            "port-forward", target, f"{self.port}:{port}", f"--namespace={release.namespace}"
        )
        self._shell: subprocess.Popen[bytes] | None = None
        self._log = release.folder / f"forward-{port}.log"

    def __enter__(self) -> Self:
        # kubectl exits when the pod does; the loop exits when its parent, this process, does.
        script = 'while kill -0 "$0" 2>/dev/null; do "$@"; sleep 0.5; done'
        with self._log.open("wb") as log:
            self._shell = subprocess.Popen(
                ["sh", "-c", script, str(os.getpid()), *self._command],
                stdout=log,
                stderr=log,
                process_group=0,
                env=environment(),
            )
        wait_for(self._listens, f"port {self.port}; {self._log.read_text()}")
        return self

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def __exit__(self, *_: object) -> None:
        if self._shell is not None:
            os.killpg(self._shell.pid, 15)
            self._shell.wait()


def is_ready(pod: Pod) -> bool:
    """Return whether a pod's or a node's condition Ready is true."""
    return any(one.type == "Ready" and one.status == "True" for one in pod.status.conditions or [])


def node_of(pod: Pod) -> str:
    """Return the name of the node that a pod runs on."""
    return str(pod.spec.node_name)


def turns(values: Sequence[int]) -> int:
    """Count how often a series changes its direction."""
    steps = [after - before for before, after in pairwise(values) if after != before]
    return sum((one > 0) != (two > 0) for one, two in pairwise(steps))


def samples(records: Sequence[timeline.Record]) -> list[timeline.Sample]:
    """Return the samples of a recording, in order."""
    return [record for record in records if isinstance(record, timeline.Sample)]


def write_json(path: Path, value: object) -> None:
    """Write an artifact."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")
