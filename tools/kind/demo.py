"""`make kind-demo`: a flood on the cluster, watched live, and its report."""

import json
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tools.kind.addons import require_keda
from tools.kind.command import ClusterError, call, say, until
from tools.kind.kind import ROOT
from tools.kind.kube import Kube, Object
from tools.kind.release import NAMESPACE, RELEASE, SELECTOR, require_deployed

REPORT = ROOT / "report" / "kind"
FLEET = Path(sys.executable).with_name("fleet")
SETTLED_SECONDS = 600
"""How long a flood's Job may take to end after the watch has ended."""
INTERRUPTED = 128 + signal.SIGINT
WHERE = f"--namespace={NAMESPACE}"


def run(kube: Kube, documents: int, report: Path = REPORT, arguments: Sequence[str] = ()) -> int:
    """Flood the fleet with `documents` PDFs, watch it until it is idle, and write the report.

    Args:
        kube: The cluster.
        documents: Number of documents.
        report: Folder for the report and the recording.
        arguments: Further arguments for `fleet watch`.

    Returns:
        Exit code: 0 if all documents are settled and the report is written.

    Raises:
        ClusterError: There is no fleet, or the flood cannot start.
    """
    if documents < 1:
        raise ClusterError(f"DOCUMENTS={documents} cannot be sent: it must be at least 1.")
    require_keda(kube)
    require_deployed(kube)
    job = start_flood(kube, documents)
    say(f"The Job {job} sends {documents:,} documents. To watch the pods too, run in another terminal:")
    say(f"  {' '.join(kube.command('get', 'pods', WHERE, '--output=wide', '--watch'))}")
    report.mkdir(parents=True, exist_ok=True)
    timeline = report / "timeline.jsonl"
    watched = call(
        *(str(FLEET), "watch", WHERE, f"--context={kube.context}", f"--release={RELEASE}"),
        *("--until-idle", "--record", str(timeline), *arguments),
        extra={"KUBECONFIG": str(kube.kubeconfig)},
        # A flood that cannot start produces no work, and `--until-idle` would wait forever.
        stop=lambda: outcome(kube, job) == "Failed",
    )
    if watched == INTERRUPTED:
        say(f"The flood continues: its Job {job} is still running.")
        return watched
    if watched and outcome(kube, job) != "Failed":
        raise ClusterError(f"`fleet watch` ended with {watched}; the Job {job} is still running.")
    _require_settled(kube, job, documents)
    say(f"All {documents:,} documents are settled.")
    return call(str(FLEET), "report", str(timeline), "--output", str(report))


def _require_settled(kube: Kube, job: str, documents: int) -> None:
    until(lambda: outcome(kube, job), seconds=SETTLED_SECONDS)
    say(kube.run("logs", f"job/{job}", WHERE, "--tail=3").rstrip())
    if outcome(kube, job) != "Complete":
        message = f"Not all of the {documents:,} documents of the Job {job} were settled."
        raise ClusterError(kube.explained(message, NAMESPACE))


def start_flood(kube: Kube, documents: int) -> str:
    """Create a Job from the fleet's CronJob that sends `documents` PDFs; return its name.

    Raises:
        ClusterError: The fleet was installed without a producer.
    """
    found = kube.items("cronjobs", WHERE, f"--selector={SELECTOR},app.kubernetes.io/component=producer")
    if not found:
        raise ClusterError(
            "The fleet was deployed without a producer (producer.enabled=false): run `make deploy`."
        )
    name = f"{found[0]['metadata']['name']}-{time.strftime('%m%d-%H%M%S')}"
    create = ("create", "job", name, f"--from=cronjob/{found[0]['metadata']['name']}", WHERE)
    job: Object = json.loads(kube.run(*create, "--dry-run=client", "--output=json"))
    kube.run("create", "--filename=-", stdin=json.dumps(with_documents(job, documents)))
    return name


def with_documents(job: Object, documents: int) -> Object:
    """Return a copy of a flood's Job with another number of documents.

    Raises:
        ClusterError: Its command has no `--documents`.
    """
    changed: Object = json.loads(json.dumps(job))
    container = changed["spec"]["template"]["spec"]["containers"][0]
    for part in ("command", "args"):
        words = container.get(part, [])
        if "--documents" in words:
            words[words.index("--documents") + 1] = str(documents)
            return changed
    raise ClusterError(
        "The CronJob's command has no --documents: run `make deploy` to install this version's chart."
    )


def outcome(kube: Kube, job: str) -> str:
    """Return how a Job ended, "Complete" or "Failed", or "" while it runs."""
    conditions = kube.items("job", job, WHERE)[0]["status"].get("conditions", [])
    ends = [item["type"] for item in conditions if item["status"] == "True"]
    return next((end for end in ends if end in {"Complete", "Failed"}), "")
