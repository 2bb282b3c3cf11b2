"""One kind cluster: create, find, restart, load images, remove."""

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tools.kind.command import ClusterError, CommandError, output, say, show, step, until
from tools.kind.host import check_room
from tools.kind.kube import Kube

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "k8s" / "kind.yaml"
DEFAULT = "pdf-fleet"
NODES = CONFIG.read_text().count("- role:")
READY_SECONDS = 300


@dataclass(frozen=True)
class KindCluster:
    """A cluster by its name in kind."""

    name: str = DEFAULT

    @property
    def kubeconfig(self) -> Path:
        """Path of the kubeconfig that holds this cluster alone."""
        return ROOT / "build" / f"kind-{self.name}.kubeconfig"

    @property
    def kube(self) -> Kube:
        """This cluster for kubectl and helm."""
        return Kube(self.kubeconfig, f"kind-{self.name}")

    def exists(self) -> bool:
        """Return whether kind knows the cluster."""
        return self.name in output("kind", "get", "clusters").split()

    def nodes(self) -> list[str]:
        """Return the names of the cluster's containers, running or not."""
        return sorted(output("kind", "get", "nodes", "--name", self.name).split())

    def require(self) -> Kube:
        """Return the cluster for kubectl, after kind has rewritten its kubeconfig.

        Raises:
            ClusterError: It does not exist, or does not answer.
        """
        if not self.exists():
            raise ClusterError(f"There is no kind cluster {self.name}: run `make cluster` first.")
        self._wake()
        self.kubeconfig.parent.mkdir(exist_ok=True)
        text = output("kind", "get", "kubeconfig", "--name", self.name)
        with os.fdopen(os.open(self.kubeconfig, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)
        try:
            self.kube.run("get", "--raw", "/readyz", "--request-timeout=30s")
        except CommandError as error:
            raise ClusterError(
                f"The cluster {self.name} does not answer: run `make cluster-down cluster` to recreate it.\n"
                f"{error.message}"
            ) from None
        return self.kube

    def up(self) -> Kube:
        """Create the cluster if it is missing, and wait until every node is ready.

        Raises:
            ClusterError: It cannot be created (nothing of it is left), or differs from k8s/kind.yaml.
        """
        if self.exists():
            say(f"The kind cluster {self.name} already exists.")
            if (found := len(self.nodes())) != NODES:
                raise ClusterError(
                    f"It has {found} nodes and {CONFIG.relative_to(ROOT)} asks for {NODES}: "
                    "run `make cluster-down cluster` to recreate it."
                )
        else:
            check_room()
            with step(f"Creating the kind cluster {self.name}: 1 control plane, {NODES - 1} workers"):
                self._create()
        kube = self.require()
        kube.wait("condition=Ready", "nodes", "--all", seconds=READY_SECONDS)
        return kube

    def _create(self) -> None:
        self.kubeconfig.parent.mkdir(exist_ok=True)
        try:
            show(
                *("kind", "create", "cluster", "--name", self.name, "--config", str(CONFIG)),
                *("--kubeconfig", str(self.kubeconfig), "--wait", f"{READY_SECONDS}s"),
            )
        except BaseException:  # Ctrl-C too: the next run would take half a cluster for a complete one
            self.remove()
            raise

    def _wake(self) -> None:
        """Start stopped nodes: a restart of the machine stops them."""
        lines = output("docker", "inspect", "--format", "{{.State.Running}} {{.Name}}", *self.nodes())
        stopped = [line.split(" /", 1)[1] for line in lines.splitlines() if line.startswith("false ")]
        if stopped:
            with step(f"Starting stopped nodes: {', '.join(stopped)}"):
                since = datetime.now(UTC).isoformat()
                output("docker", "start", *stopped)
                # A node counts as ready for 40 s after its stop, so wait for a renewed lease.
                until(lambda: all(self._alive_at(node) > since for node in stopped), seconds=READY_SECONDS)

    def _alive_at(self, node: str) -> str:
        """Return when a node last renewed its lease (ISO 8601, UTC); "" while the control plane does not answer."""
        kubectl = ("docker", "exec", f"{self.name}-control-plane", "kubectl")
        lease = ("get", "lease", node, "--namespace=kube-node-lease", "--output=jsonpath={.spec.renewTime}")
        try:
            return output(*kubectl, "--kubeconfig=/etc/kubernetes/admin.conf", *lease)
        except CommandError:
            return ""

    def load(self, *images: str) -> None:
        """Load images into every worker node that does not have them.

        Raises:
            CommandError: Docker does not have an image, or a node cannot take it.
        """
        workers = [node for node in self.nodes() if not node.endswith("-control-plane")]
        show("kind", "load", "docker-image", *images, "--name", self.name, "--nodes", ",".join(workers))

    def remove(self) -> None:
        """Remove the cluster, even if it is incomplete."""
        # Without --kubeconfig: so kind also removes its entry from the user's kubeconfig if it has one there.
        output("kind", "delete", "cluster", "--name", self.name)
        self.kubeconfig.unlink(missing_ok=True)


def check_file(path: Path, *, what: str) -> None:
    """Check that a file exists.

    Args:
        path: The file.
        what: What to do if it does not.

    Raises:
        ClusterError: It does not exist.
    """
    if not path.is_file():
        raise ClusterError(f"{path} does not exist: {what}.")
