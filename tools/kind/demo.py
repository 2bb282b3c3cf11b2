"""`make kind-demo`: a flood on the cluster, seen live, and its report."""

import json
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tools.kind.addons import require_keda
from tools.kind.command import ClusterError, follow, say, until
from tools.kind.kind import ROOT
from tools.kind.kube import Kube, Object
from tools.kind.release import NAMESPACE, RELEASE, SELECTOR, require_deployed

REPORT = ROOT / "report" / "kind"
FLEET = Path(sys.executable).with_name("fleet")
SETTLED_SECONDS = 600
"""How long a flood's Job may take to end once the fleet is idle again."""
INTERRUPTED = 128 + signal.SIGINT
WHERE = f"--namespace={NAMESPACE}"


def run(kube: Kube, documents: int, report: Path = REPORT, arguments: Sequence[str] = ()) -> int:
    """Flood the fleet with `documents` PDFs, watch it until it is idle, and write the report.

    Args:
        kube: the cluster.
        documents: how many.
        report: the folder of the report, which the recording goes into as well.
        arguments: more for `fleet watch`.

    Returns:
        0 when all documents are settled and the report is written.

    Raises:
        ClusterError: the fleet is not there, or the flood cannot begin.
    """
    if documents < 1:
        raise ClusterError(f"DOCUMENTS={documents} cannot be sent: it must be at least 1.")
    require_keda(kube)
    require_deployed(kube)
    job = start_flood(kube, documents)
    say(f"The Job {job} sends {documents:,} documents. Beside this, in another terminal:")
    say(f"  {' '.join(kube.command('get', 'pods', WHERE, '--output=wide', '--watch'))}")
    report.mkdir(parents=True, exist_ok=True)
    timeline = report / "timeline.jsonl"
    watched = follow(
        *(
            str(FLEET),
            "watch",
            f"--namespace={NAMESPACE}",
            f"--context={kube.context}",
            f"--release={RELEASE}",
        ),
        *("--until-idle", "--record", str(timeline), *arguments),
        extra={"KUBECONFIG": str(kube.kubeconfig)},
        # A flood that cannot even begin makes no work, so the fleet would be watched for ever.
        stop=lambda: outcome(kube, job) == "Failed",
    )
    if watched == INTERRUPTED:
        say(f"The flood goes on without you; it ends with its Job: {job}.")
        return watched
    if watched and outcome(kube, job) != "Failed":
        raise ClusterError(f"`fleet watch` ended with {watched}; the Job {job} goes on.")
    _require_settled(kube, job, documents)
    say(f"All {documents:,} documents are settled.")
    return follow(str(FLEET), "report", str(timeline), "--output", str(report))


def _require_settled(kube: Kube, job: str, documents: int) -> None:
    until(lambda: outcome(kube, job), seconds=SETTLED_SECONDS)
    say(kube.run("logs", f"job/{job}", WHERE, "--tail=3").rstrip())
    if outcome(kube, job) != "Complete":
        message = f"Not all of the {documents:,} documents of the Job {job} were settled."
        raise ClusterError(kube.explained(message, NAMESPACE))


def start_flood(kube: Kube, documents: int) -> str:
    """Make a Job from the fleet's CronJob that sends `documents`; return its name.

    Raises:
        ClusterError: the fleet was installed without a producer.
    """
    found = kube.items("cronjobs", WHERE, f"--selector={SELECTOR},app.kubernetes.io/component=producer")
    if not found:
        raise ClusterError(
            "The fleet was deployed without a producer (producer.enabled=false): `make deploy`."
        )
    name = f"{found[0]['metadata']['name']}-{time.strftime('%m%d-%H%M%S')}"
    made = ("create", "job", name, f"--from=cronjob/{found[0]['metadata']['name']}", WHERE)
    job: Object = json.loads(kube.run(*made, "--dry-run=client", "--output=json"))
    kube.run("create", "--filename=-", stdin=json.dumps(with_documents(job, documents)))
    return name


def with_documents(job: Object, documents: int) -> Object:
    """Return a flood's Job with another number of documents.

    Raises:
        ClusterError: its command does not say how many.
    """
    changed: Object = json.loads(json.dumps(job))
    container = changed["spec"]["template"]["spec"]["containers"][0]
    for part in ("command", "args"):
        words = container.get(part, [])
        if "--documents" in words:
            words[words.index("--documents") + 1] = str(documents)
            return changed
    raise ClusterError("The CronJob's command has no --documents: the chart and `make kind-demo` do not fit.")


def outcome(kube: Kube, job: str) -> str:
    """Return how a Job ended, "Complete" or "Failed", or "" while it runs."""
    conditions = kube.items("job", job, WHERE)[0]["status"].get("conditions", [])
    ends = [item["type"] for item in conditions if item["status"] == "True"]
    return next((end for end in ends if end in {"Complete", "Failed"}), "")
