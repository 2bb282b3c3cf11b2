"""Helm release of the fleet: installation and upgrade, with a sentence for each reason that stops it."""

import json
import time
from collections.abc import Callable, Sequence

from tools.kind.addons import require_keda
from tools.kind.command import ClusterError, CommandError, output, say, show, step
from tools.kind.image import REPOSITORY, bring
from tools.kind.kind import ROOT, KindCluster, check_file
from tools.kind.kube import Kube, without_image

RELEASE = "fleet"
NAMESPACE = "pdf-fleet"
CHART = ROOT / "helm" / "pdf-fleet"
VALUES = ROOT / "k8s" / "values-kind.yaml"
READY_SECONDS = 300
IMAGE_SECONDS = 60.0
"""How long a node may fail to pull an image: a registry may be absent for a moment."""
SELECTOR = f"app.kubernetes.io/instance={RELEASE}"


def deploy(cluster: KindCluster, arguments: Sequence[str] = ()) -> Kube:
    """Build the image, load it into the cluster, and install or upgrade the fleet with it.

    Args:
        cluster: The cluster.
        arguments: Further arguments for helm, such as `--set workers.pdf.maxReplicas=3`.

    Raises:
        ClusterError: With what stops it; a first installation that fails is uninstalled.
    """
    check_file(CHART / "Chart.yaml", what="restore the chart from the repository")
    check_file(VALUES, what="restore the values from the repository")
    kube = cluster.require()
    require_keda(kube)
    _require_volumes(kube)
    before = state(kube)
    claims = _claims(kube)
    image = bring(cluster)
    _make_namespace(kube)
    with step(
        f"{'Upgrading' if before else 'Installing'} the release {RELEASE} in the namespace {NAMESPACE}"
    ):
        try:
            show(*_upgrade(kube, image, arguments), stop=Hopeless(kube))
            _wait_scaled(kube)
        except CommandError as error:
            message = kube.explained(error.message, NAMESPACE)
            if not before:
                say("Uninstalling the release, as it has not come up.")
                output(*kube.helm("uninstall", RELEASE, f"--namespace={NAMESPACE}", "--wait"))
                _remove_claims(kube, _claims(kube) - claims)
            raise ClusterError(message) from None
    return kube


class Hopeless:
    """Stop condition of an installation: an image has been missing for `IMAGE_SECONDS`.

    Args:
        kube: The cluster, whose pods each call reads.
        clock: Monotonic clock, in seconds.
    """

    def __init__(self, kube: Kube, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._kube = kube
        self._clock = clock
        self._since: dict[str, float] = {}

    def __call__(self) -> bool:
        """Return whether a container has waited for its image too long."""
        now = self._clock()
        try:
            pods = self._kube.items("pods", f"--namespace={NAMESPACE}", f"--selector={SELECTOR}")
        except CommandError:
            return False  # the wait for the pods reports it
        missing = [name for pod in pods for name in without_image(pod)]
        self._since = {name: self._since.get(name, now) for name in missing}
        return any(now - since > IMAGE_SECONDS for since in self._since.values())


def _upgrade(kube: Kube, image: str, arguments: Sequence[str]) -> tuple[str, ...]:
    tag = image.removeprefix(f"{REPOSITORY}:")
    return kube.helm(
        *("upgrade", "--install", RELEASE, str(CHART), f"--namespace={NAMESPACE}", f"--values={VALUES}"),
        # As a string: helm would parse a tag of twelve digits, or of digits around one "e", as a number.
        *(f"--set-string=image.repository={REPOSITORY},image.tag={tag}", "--set=producer.atInstall=false"),
        *("--wait", f"--timeout={READY_SECONDS}s", *arguments),
    )


def state(kube: Kube) -> str:
    """Return helm's status of the release: "deployed", "failed", ..., or "" if there is none.

    Raises:
        ClusterError: An earlier run of helm was interrupted and blocks every later one.
    """
    try:
        answer = output(*kube.helm("status", RELEASE, f"--namespace={NAMESPACE}", "--output=json"))
    except CommandError as error:
        if "not found" in error.output:
            return ""
        raise
    status = str(json.loads(answer)["info"]["status"])
    if status.startswith("pending-"):
        remedy = "uninstall" if status == "pending-install" else "rollback"
        command = " ".join(kube.helm(remedy, RELEASE, f"--namespace={NAMESPACE}"))
        raise ClusterError(
            f"The release {RELEASE} is {status}: another helm is running, or one was interrupted. "
            f"If it was interrupted, run: {command}"
        )
    return status


def require_deployed(kube: Kube) -> None:
    """Check that the fleet is deployed.

    Raises:
        ClusterError: It is not.
    """
    if state(kube) != "deployed":
        raise ClusterError(f"There is no fleet in the cluster {kube.context}: run `make deploy` first.")


def _require_volumes(kube: Kube) -> None:
    """Check that the cluster has a default storage class, without which the fleet's volumes stay unbound."""
    mark = "storageclass.kubernetes.io/is-default-class"
    classes = kube.items("storageclasses")
    if not any(kind["metadata"].get("annotations", {}).get(mark) == "true" for kind in classes):
        raise ClusterError(
            "The cluster has no default storage class, so no volume can be bound: "
            "run `make cluster-down cluster` to recreate it."
        )


def _claims(kube: Kube) -> set[str]:
    """Return the names of the release's volume claims; they outlive it, as they hold the documents."""
    found = kube.items("persistentvolumeclaims", f"--namespace={NAMESPACE}", f"--selector={SELECTOR}")
    return {claim["metadata"]["name"] for claim in found}


def _remove_claims(kube: Kube, names: set[str]) -> None:
    """Remove the claims of an installation that never came up: they are empty."""
    if names:
        where = (f"--namespace={NAMESPACE}", f"--timeout={READY_SECONDS}s")
        kube.run("delete", "persistentvolumeclaims", *sorted(names), *where)


def _make_namespace(kube: Kube) -> None:
    """Create the namespace, under the restricted pod security standard."""
    namespace = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": NAMESPACE, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
    }
    kube.run("apply", "--server-side", "--filename=-", stdin=json.dumps(namespace))


def _wait_scaled(kube: Kube) -> None:
    """Wait until every ScaledObject is Ready."""
    where = (f"--namespace={NAMESPACE}", f"--selector={SELECTOR}")
    if kube.items("scaledobjects", *where):
        kube.wait("condition=Ready", "scaledobjects", *where, seconds=READY_SECONDS)
