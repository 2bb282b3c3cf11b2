"""`fleet watch` against a fake Kubernetes API server that runs the real `fleet status --follow`."""

import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from kubernetes.config import kube_config

from app.cluster.listener import Listener
from app.config import Settings
from app.ledger.ledger import Ledger
from app.ledger.message import new_id
from app.ledger.models import Outcome, State, Submission
from app.queues import Queue
from app.report.measures import take_apart
from app.report.timeline import Event, Meta, RunSummary, Sample, What, read
from tests.support.cluster_api import ClusterApi
from tests.support.command_line import Commands, Running
from tests.support.waiting import wait_for

LABELS = {"app.kubernetes.io/name": "pdf-fleet", "app.kubernetes.io/instance": "fleet"}
WORKER = {**LABELS, "app.kubernetes.io/component": "worker"}


def deployment(queue: str, *, desired: int, ready: int = 0, release: str = "fleet") -> dict[str, Any]:
    labels = {**WORKER, "app.kubernetes.io/instance": release, "pdf-fleet/queue": queue}
    return {
        "metadata": {"name": f"{release}-worker-{queue}", "labels": labels},
        "spec": {"replicas": desired, "template": {"metadata": {"labels": labels}}},
        "status": {"replicas": desired, "readyReplicas": ready},
    }


def pod(name: str, node: str, *, ready: bool = True, restarts: int = 0) -> dict[str, Any]:
    ended = {"terminated": {"reason": "OOMKilled", "exitCode": 137}} if restarts else {}
    return {
        "metadata": {"name": name, "uid": name, "labels": {**WORKER, "pdf-fleet/queue": "pdf"}},
        "spec": {"nodeName": node, "containers": [{"name": "worker"}]},
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": str(ready)}],
            "containerStatuses": [{"name": "worker", "restartCount": restarts, "lastState": ended}],
        },
    }


def beat(name: str = "fleet-beat-1") -> dict[str, Any]:
    one = pod(name, "node-1")
    one["metadata"]["labels"] = {**LABELS, "app.kubernetes.io/component": "beat"}
    one["spec"]["containers"] = [{"name": "sidecar"}, {"name": "beat"}]
    return one


def node(name: str, *, ready: bool = True) -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "spec": {},
        "status": {
            "conditions": [{"type": "Ready", "status": "True" if ready else "Unknown"}],
            "capacity": {"cpu": "4", "memory": "8388608Ki"},
            "nodeInfo": {"osImage": "Debian"},
        },
    }


@pytest.fixture
def api(commands: Commands, redis_url: str) -> Iterator[ClusterApi]:
    with ClusterApi({**commands.environment, "FLEET_REDIS_URL": redis_url}) as server:
        for queue in ("pdf", "ocr", "default"):
            server.put("deployments", deployment(queue, desired=0))
        for name in ("node-1", "node-2"):
            server.put("nodes", node(name))
        server.put("pods", beat())
        yield server
        server.stop()
        for process in server.execs:
            process.wait(timeout=180)
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()


@pytest.fixture
def ledger(redis_url: str) -> Ledger:
    return Ledger.of(Settings(redis_url=redis_url))


class Watching:
    """`fleet watch` as a process."""

    def __init__(self, commands: Commands, api: ClusterApi, folder: Path) -> None:
        self.commands = commands
        self.config = api.kubeconfig(folder / "kubeconfig")
        self.recording = folder / "recording" / "timeline.jsonl"

    def start(self, *arguments: object) -> Running:
        given = ("watch", "--namespace", "fleet", "--record", self.recording, *arguments)
        return self.commands.start(*given, KUBECONFIG=str(self.config))

    def run_here(
        self, *arguments: object, beside: Callable[[], object] = lambda: None
    ) -> tuple[int, list[str], str]:
        """Run the command in this process, with `beside` in a thread; it must stop its own threads."""
        with pytest.MonkeyPatch.context() as patch:
            # The client reads KUBECONFIG once, on import.
            patch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(self.config))
            found = self.commands.run_beside(beside, "watch", *arguments, KUBECONFIG=str(self.config))
        assert not [thread for thread in threading.enumerate() if isinstance(thread, Listener)]
        return found

    def events(self) -> list[str]:
        return [f"{one.what}: {one.message}" for one in self.records() if isinstance(one, Event)]

    def samples(self) -> list[Sample]:
        return [one for one in self.records() if isinstance(one, Sample)]

    def records(self) -> list[Any]:
        return list(read(self.recording)) if self.recording.exists() else []


@pytest.fixture
def watching(commands: Commands, api: ClusterApi, tmp_path: Path) -> Watching:
    return Watching(commands, api, tmp_path)


def opened(ledger: Ledger, count: int) -> list[str]:
    documents = [Submission(document_id=new_id(), source=f"{n}.pdf") for n in range(count)]
    ledger.open(new_id(), Queue.PDF, documents)
    return [document.document_id for document in documents]


def settled(ledger: Ledger, ids: list[str]) -> None:
    """Settle documents as a worker does: receive the message, start, settle."""
    for document_id in ids:
        ledger.client.rpop("pdf")
        document = ledger.start(document_id, queue=Queue.PDF, worker="w")
        assert not isinstance(document, str)
        assert ledger.settle(document, Outcome(state=State.SUCCEEDED), token=new_id())


def test_a_run_from_zero_to_zero(
    api: ClusterApi, watching: Watching, ledger: Ledger, commands: Commands, tmp_path: Path
) -> None:
    ids: list[str] = []

    def work() -> None:
        wait_for(watching.samples, "the first sample")
        ids.extend(opened(ledger, 5))
        api.put("deployments", deployment("pdf", desired=2))
        api.put("pods", pod("p1", "node-1"))
        api.put("pods", pod("p2", "node-2"))
        api.put("deployments", deployment("pdf", desired=2, ready=2))
        wait_for(
            lambda: any(
                one.queues["pdf"].waiting == 5 and one.nodes.get("node-2") for one in watching.samples()
            ),
            "a sample of the work",
        )
        settled(ledger, ids)
        api.put("pods", pod("p2", "node-2", restarts=1))
        wait_for(lambda: any("OOMKilled" in one for one in watching.events()), "the restart")
        api.put("deployments", deployment("pdf", desired=0))
        for name in ("p1", "p2"):
            api.delete("pods", name)

    code, lines, errors = watching.run_here(
        "-n", "fleet", "--record", watching.recording, "--until-idle", beside=work
    )
    assert code == 0, errors
    out = "\n".join(lines)
    assert "release fleet, namespace fleet, context here" in lines[0]
    assert "pdf: 0 → 2 replicas desired (fleet-worker-pdf)" in out
    assert "pod p2 on node-2 was restarted (OOMKilled, exit 137)" in out
    assert "open 0  settled 5  failed 0" in lines[-1]
    assert "\x1b" not in out
    assert f"Recorded in {watching.recording}: fleet report" in errors

    records = read(watching.recording)
    first, last = records[0], records[-1]
    assert isinstance(first, Meta)
    assert first.machine is None
    assert first.cluster is not None
    assert (first.cluster.context, first.cluster.release, first.cluster.version) == (
        "here",
        "fleet",
        "v1.34.0",
    )
    assert first.cluster.nodes == dict.fromkeys(("node-1", "node-2"), "4 cores, 8.0 GiB, Debian")
    assert isinstance(last, RunSummary)
    assert (last.documents, last.states, last.replaced) == (5, {"succeeded": 5}, 1)
    assert last.peak_replicas == {"pdf": 2, "ocr": 0, "default": 0}
    run = take_apart(records)
    assert sorted(document.id for document in run.documents) == sorted(ids)
    assert run.nodes == ["node-1", "node-2"]
    assert {"pdf": 1} in [pods for _, pods in run.pods("node-2")]
    assert all(0 <= document.opened <= (document.finished or 0) for document in run.documents)
    scaled = [(one.before, one.after) for one in run.events if one.what is What.SCALE]
    assert scaled == [(0, 2), (2, 0)]

    with commands.start("report", watching.recording, "--output", tmp_path / "report") as reporting:
        assert reporting.wait(240.0) == 0, reporting.errors  # matplotlib looks for fonts on its first use
    assert reporting.lines == [str(tmp_path / "report" / "index.html")]
    assert (tmp_path / "report" / "nodes.svg").exists()


def test_a_watch_outlives_its_server_its_history_and_its_beat_pod(
    api: ClusterApi, watching: Watching, ledger: Ledger
) -> None:
    with watching.start() as running:
        wait_for(watching.samples, "the first sample")
        ids = opened(ledger, 3)
        settled(ledger, ids[:1])
        wait_for(lambda: watching.samples()[-1].settled == 1, "the first document")
        api.stop()
        wait_for(lambda: any("does not answer" in one for one in watching.events()), "the interruption")
        settled(ledger, ids[1:])
        # Meanwhile the server drops its history, adds a pod and a replica, and replaces the beat pod.
        api.put("pods", pod("p1", "node-2"))
        api.put("deployments", deployment("pdf", desired=1, ready=1))
        api.delete("pods", "fleet-beat-1")
        api.put("pods", beat("fleet-beat-2"))
        api.forget()
        api.start()
        wait_for(lambda: watching.samples()[-1].settled == 3, "the documents settled meanwhile")
        wait_for(lambda: watching.samples()[-1].nodes == {"node-1": {}, "node-2": {"pdf": 1}}, "the pod")
        events = watching.events()
        assert "scale: fleet-worker-pdf" in events
        wait_for(
            lambda: (
                {
                    "recovered: the fleet sends news again",
                    "recovered: the pods are watched again",
                    "recovered: the Deployments are watched again",
                    "recovered: the nodes are watched again",
                }
                <= set(watching.events())
            ),
            "the recovery of every source",
        )
        api.forget()  # this time while the watch is connected
        api.put("nodes", node("node-2", ready=False))
        wait_for(lambda: "fault: node node-2 is not ready" in watching.events(), "the node")
        running.send(signal.SIGTERM)
        assert running.wait(15.0) == 143
    run = take_apart(read(watching.recording))
    assert sorted(document.id for document in run.documents) == sorted(ids), "each once"
    assert run.summary.documents == 3
    assert any("fleet-beat-2/exec" in path and "--since" in path for path in api.requests)


def test_a_watch_works_without_the_right_to_list_nodes(api: ClusterApi, watching: Watching) -> None:
    api.forbidden.add("nodes")
    with watching.start() as running:
        api.put("pods", pod("p1", "node-7"))
        wait_for(lambda: watching.samples() and watching.samples()[-1].nodes, "a pod")
        running.send(signal.SIGINT)
        assert running.wait(15.0) == 130
    assert watching.samples()[-1].nodes == {"node-7": {"pdf": 1}}


@pytest.mark.usefixtures("api")
def test_an_absent_redis_is_an_interruption(watching: Watching, ledger: Ledger) -> None:
    with watching.start() as running:
        wait_for(watching.samples, "the first sample")
        ledger.client.config_set("requirepass", "secret")
        ledger.client.execute_command("AUTH", "secret")
        try:
            ledger.client.client_kill_filter(_type="normal", skipme=True)
            wait_for(lambda: any("Redis does not answer" in one for one in watching.events()), "its absence")
        finally:
            ledger.client.config_set("requirepass", "")
        wait_for(lambda: "recovered: the fleet's Redis answers again" in watching.events(), "its return")
        running.send(signal.SIGTERM)
        running.wait(15.0)


def test_a_closed_output_ends_the_watch(api: ClusterApi, watching: Watching, tmp_path: Path) -> None:
    import subprocess
    import sys

    command = [sys.executable, "-m", "app.cli.main", "watch", "-n", "fleet"]
    environment = {**watching.commands.environment, "KUBECONFIG": str(watching.config)}
    with (tmp_path / "errors").open("wb") as errors:
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=errors)
    assert process.stdout is not None
    assert process.stdout.readline()
    process.stdout.close()
    api.put("deployments", deployment("pdf", desired=1))
    assert process.wait(20.0) == 0
    assert (tmp_path / "errors").read_text() == ""


@pytest.mark.parametrize(
    ("arguments", "forbidden", "code", "sentence"),
    [
        (["-n", "nowhere"], "", 2, "There is no namespace nowhere in context here: see kubectl"),
        (["-n", "fleet", "--context", "lost"], "", 2, "no context lost; it has: here, nowhere."),
        (
            ["-n", "fleet", "--context", "nowhere"],
            "",
            1,
            "context nowhere does not answer at http://127.0.0.1:1",
        ),
        (
            ["-n", "fleet", "--release", "other"],
            "",
            2,
            "There is no release other in namespace fleet; it has: fleet.",
        ),
        (["-n", "fleet"], "deployments", 1, "You may not list the deployments of namespace fleet"),
        (["-n", "fleet"], "pods", 1, "You may not list the pods of namespace fleet"),
        ([], "", 2, "Missing option '--namespace'"),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, list) else None,
)
def test_a_fleet_that_cannot_be_watched_is_an_error(  # noqa: PLR0917  # pytest gives them by name
    api: ClusterApi, watching: Watching, arguments: list[str], forbidden: str, code: int, sentence: str
) -> None:
    api.forbidden.add(forbidden)
    found, lines, errors = watching.run_here(*arguments)
    assert found == code, errors
    assert sentence in " ".join(errors.replace("│", " ").split())
    assert len(lines) <= 2


@pytest.mark.parametrize(
    ("arguments", "forbidden", "sentence"),
    [
        ([], "exec", "You may not exec into the beat pod of namespace fleet"),
        (["--record", "/proc/no/where"], "", "/proc/no/where cannot be written"),
    ],
    ids=["exec", "record"],
)
def test_an_error_ends_a_watch_that_has_begun(
    api: ClusterApi, watching: Watching, arguments: list[str], forbidden: str, sentence: str
) -> None:
    api.forbidden.add(forbidden)
    config = str(watching.config)
    code, lines, errors = watching.commands.run("watch", "-n", "fleet", *arguments, KUBECONFIG=config)
    assert code == 1, errors
    assert sentence in errors
    assert len(lines) <= 2


def test_a_fleet_without_a_beat_pod_is_an_error(api: ClusterApi, watching: Watching) -> None:
    api.delete("pods", "fleet-beat-1")
    code, _, errors = watching.run_here("-n", "fleet")
    assert code == 1
    assert "Release fleet has no beat pod in namespace fleet" in errors


def test_several_fleets_in_a_namespace_require_a_choice(api: ClusterApi, watching: Watching) -> None:
    api.put("deployments", deployment("pdf", desired=0, release="second"))
    code, _, errors = watching.run_here("-n", "fleet")
    assert code == 2
    assert "Namespace fleet has several fleets (fleet, second): choose with --release." in errors


def test_wrong_settings_of_the_fleet_are_an_error(api: ClusterApi, watching: Watching) -> None:
    api.environment["FLEET_REDIS_URL"] = "http://wrong"
    code, _, errors = watching.commands.run("watch", "-n", "fleet", KUBECONFIG=str(watching.config))
    assert code == 1
    assert (
        "`fleet status --follow` in pod fleet-beat-1 ended (FLEET_REDIS_URL='http://wrong' cannot be used"
        in errors
    )


@pytest.mark.parametrize(
    "text", [None, "", "{", "contexts: 7", "- a"], ids=["none", "empty", "broken", "odd", "list"]
)
def test_an_unusable_kubeconfig_is_an_error(watching: Watching, text: str | None) -> None:
    watching.config.unlink()
    if text is not None:
        watching.config.write_text(text)
    code, lines, errors = watching.run_here("-n", "fleet")
    assert (code, lines) == (2, [])
    assert "kubeconfig" in errors
    assert len(errors.splitlines()) == 1, errors


def test_a_report_of_no_recording_is_an_error(commands: Commands, tmp_path: Path) -> None:
    code, _, errors = commands.run_here("report", tmp_path / "none.jsonl", "--output", tmp_path / "report")
    assert code == 1
    assert "none.jsonl cannot be read" in errors
    (tmp_path / "odd.jsonl").write_bytes(msgspec.json.encode({"kind": "odd"}) + b"\n")
    code, _, errors = commands.run_here("report", tmp_path / "odd.jsonl", "--output", tmp_path / "report")
    assert code == 1
    assert "is not part of a timeline" in errors
