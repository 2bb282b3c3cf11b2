"""Image of the fleet: build, name by content, load into the nodes."""

from tools.kind.addons import require_keda
from tools.kind.command import ClusterError, CommandError, output, show, step
from tools.kind.kind import ROOT, KindCluster

REPOSITORY = "pdf-fleet"
DEV = f"{REPOSITORY}:dev"
"""Name of the newest build for use by hand; k8s/values-kind.yaml refers to it."""


def build() -> str:
    """Build the image and return its name, which changes exactly when its content does.

    Raises:
        CommandError: The build failed; with the end of docker's output.
    """
    with step(f"Building the image {DEV}"):
        show("docker", "build", "--tag", DEV, str(ROOT))
    image = newest()
    output("docker", "tag", DEV, image)
    return image


def newest() -> str:
    """Return the name by content of the newest build.

    Raises:
        ClusterError: There is no build yet.
    """
    try:
        digest = output("docker", "image", "inspect", "--format", "{{.Id}}", DEV).strip()
    except CommandError:
        raise ClusterError(f"There is no image {DEV}: run `make deploy` to build it.") from None
    return f"{REPOSITORY}:{digest.removeprefix('sha256:')[:12]}"


def bring(cluster: KindCluster) -> str:
    """Build the image and load it into every worker node; return its name.

    Raises:
        ClusterError: The image cannot be built or loaded.
    """
    image = build()
    with step(f"Loading {image} into the nodes that do not have it"):
        cluster.load(image, DEV)
        # Writing an image to all nodes can keep the disk so busy that KEDA loses its leader lease and restarts.
        require_keda(cluster.kube).wait(cluster.kube)
    return image
