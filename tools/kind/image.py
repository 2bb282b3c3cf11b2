"""The fleet's image: built, named by its content, brought to the nodes."""

from tools.kind.addons import require_keda
from tools.kind.command import ClusterError, CommandError, output, show, step
from tools.kind.kind import ROOT, KindCluster

REPOSITORY = "pdf-fleet"
DEV = f"{REPOSITORY}:dev"
"""The name under which the newest build is found by hand; k8s/values-kind.yaml names it."""


def build() -> str:
    """Build the image and return its name, which changes exactly when its content does.

    Raises:
        CommandError: it cannot be built; with the end of what docker said.
    """
    with step(f"Building the image {DEV}"):
        show("docker", "build", "--tag", DEV, str(ROOT))
    image = newest()
    output("docker", "tag", DEV, image)
    return image


def newest() -> str:
    """Return the name of the newest build, by its content.

    Raises:
        ClusterError: nothing was built yet.
    """
    try:
        digest = output("docker", "image", "inspect", "--format", "{{.Id}}", DEV).strip()
    except CommandError:
        raise ClusterError(f"There is no image {DEV}: `make deploy` builds it.") from None
    return f"{REPOSITORY}:{digest.removeprefix('sha256:')[:12]}"


def bring(cluster: KindCluster) -> str:
    """Build the image and bring it to every node; return its name.

    Raises:
        ClusterError: it cannot be built or brought there.
    """
    image = build()
    with step(f"Bringing {image} to the nodes that do not have it"):
        cluster.load(image, DEV)
        # Writing an image to four nodes can keep the disk so busy that KEDA loses its lease and starts anew.
        require_keda(cluster.kube).wait(cluster.kube)
    return image
