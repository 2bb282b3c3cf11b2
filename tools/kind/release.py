"""The fleet as a release of helm's: installed or upgraded, and what stops it said in a sentence."""

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
"""How long a node may fail to get an image: a registry may be away for a moment."""
SELECTOR = f"app.kubernetes.io/instance={RELEASE}"


def deploy(cluster: KindCluster, arguments: Sequence[str] = ()) -> Kube:
    """Build the image, bring it to the cluster, and install or upgrade the fleet with it.

    Args:
        cluster: where to.
        arguments: more for helm, such as `--set workers.pdf.maxReplicas=3`.

    Raises:
        ClusterError: with what stops it; a first installation that fails is taken back.
    """
    check_file(CHART / "Chart.yaml", what="the chart belongs to the project")
    check_file(VALUES, what="the values for kind belong to the project")
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
                say("Taking the installation back, as it has not come up.")
                output(*kube.helm("uninstall", RELEASE, f"--namespace={NAMESPACE}", "--wait"))
                _remove_claims(kube, _claims(kube) - claims)
            raise ClusterError(message) from None
    return kube


class Hopeless:
    """Tells whether an image has been missing for so long that it will not come: then it may be said at once.

    Args:
        kube: The cluster whose pods are looked at, with each call.
        clock: Seconds that never run backwards.
    """

    def __init__(self, kube: Kube, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._kube = kube
        self._clock = clock
        self._since: dict[str, float] = {}

    def __call__(self) -> bool:
        """Return whether it is so."""
        now = self._clock()
        try:
            pods = self._kube.items("pods", f"--namespace={NAMESPACE}", f"--selector={SELECTOR}")
        except CommandError:
            return False  # whoever waits for the pods will say it
        missing = [name for pod in pods for name in without_image(pod)]
        self._since = {name: self._since.get(name, now) for name in missing}
        return any(now - since > IMAGE_SECONDS for since in self._since.values())


def _upgrade(kube: Kube, image: str, arguments: Sequence[str]) -> tuple[str, ...]:
    tag = image.removeprefix(f"{REPOSITORY}:")
    return kube.helm(
        *("upgrade", "--install", RELEASE, str(CHART), f"--namespace={NAMESPACE}", f"--values={VALUES}"),
        # As a string: twelve digits, or 1e5 and more digits, would become a number.
        *(f"--set-string=image.repository={REPOSITORY},image.tag={tag}", "--set=producer.atInstall=false"),
        *("--wait", f"--timeout={READY_SECONDS}s", *arguments),
    )


def state(kube: Kube) -> str:
    """Return what helm says of the release: "deployed", "failed", ..., or "" where there is none.

    Raises:
        ClusterError: an earlier run of helm was cut off, which keeps every later one from beginning.
    """
    try:
        said = output(*kube.helm("status", RELEASE, f"--namespace={NAMESPACE}", "--output=json"))
    except CommandError as error:
        if "not found" in error.output:
            return ""
        raise
    status = str(json.loads(said)["info"]["status"])
    if status.startswith("pending-"):
        way = "uninstall" if status == "pending-install" else "rollback"
        command = " ".join(kube.helm(way, RELEASE, f"--namespace={NAMESPACE}"))
        raise ClusterError(
            f"The release {RELEASE} is {status}: another helm is at work, or one was cut off. "
            f"In the second case: {command}"
        )
    return status


def require_deployed(kube: Kube) -> None:
    """Make sure that the fleet is there.

    Raises:
        ClusterError: it is not.
    """
    if state(kube) != "deployed":
        raise ClusterError(f"There is no fleet in the cluster {kube.context}: run `make deploy` first.")


def _require_volumes(kube: Kube) -> None:
    """Refuse a cluster where the fleet's volumes would wait for ever."""
    mark = "storageclass.kubernetes.io/is-default-class"
    classes = kube.items("storageclasses")
    if not any(kind["metadata"].get("annotations", {}).get(mark) == "true" for kind in classes):
        raise ClusterError(
            "The cluster has no default storage class, so no volume can be bound: "
            "`make cluster-down cluster` makes it anew."
        )


def _claims(kube: Kube) -> set[str]:
    """Return the names of the release's volume claims: they outlive it, as they hold the documents."""
    found = kube.items("persistentvolumeclaims", f"--namespace={NAMESPACE}", f"--selector={SELECTOR}")
    return {claim["metadata"]["name"] for claim in found}


def _remove_claims(kube: Kube, names: set[str]) -> None:
    """Remove claims that an installation made which never came up: nothing is in them."""
    if names:
        where = (f"--namespace={NAMESPACE}", f"--timeout={READY_SECONDS}s")
        kube.run("delete", "persistentvolumeclaims", *sorted(names), *where)


def _make_namespace(kube: Kube) -> None:
    """Make the namespace, which takes only pods that need no privilege."""
    namespace = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": NAMESPACE,
            "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
        },
    }
    kube.run("apply", "--server-side", "--filename=-", stdin=json.dumps(namespace))


def _wait_scaled(kube: Kube) -> None:
    """Wait until KEDA measures every queue."""
    where = (f"--namespace={NAMESPACE}", f"--selector={SELECTOR}")
    if kube.items("scaledobjects", *where):
        kube.wait("condition=Ready", "scaledobjects", *where, seconds=READY_SECONDS)
