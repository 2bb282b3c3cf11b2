"""Installation of KEDA and metrics-server, at the versions of k8s/addons.toml."""

import copy
import json
import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from tools.kind.command import ClusterError, CommandError, say, step
from tools.kind.kind import ROOT, check_file
from tools.kind.kube import Kube, Object

PINNED = ROOT / "k8s" / "addons.toml"
READY_SECONDS = 300


@dataclass(frozen=True)
class Addon:
    """One entry of k8s/addons.toml."""

    name: str
    version: str
    url: str
    file: str
    namespace: str
    deployments: list[str]
    api: str
    arguments: list[str] = field(default_factory=list)

    def source(self) -> str:
        """Return the manifest to install: the file named by the environment variable, else the URL of the release.

        Raises:
            ClusterError: The variable names no file.
        """
        given = os.environ.get(self.file, "")
        if given:
            check_file(Path(given), what=f"set {self.file} to {self.name}'s manifest, or unset it")
            return given
        return self.url.format(version=self.version)

    def installed(self, kube: Kube) -> bool:
        """Return whether the cluster has exactly this version."""
        try:
            found = kube.items("deployment", self.deployments[0], f"--namespace={self.namespace}")
        except CommandError:
            return False
        images = [container["image"] for container in found[0]["spec"]["template"]["spec"]["containers"]]
        return any(image.rpartition(":")[2].lstrip("v") == self.version for image in images)

    def install(self, kube: Kube) -> None:
        """Install this version unless the cluster has it, and wait until its API answers.

        Raises:
            ClusterError: It cannot be fetched, or does not come up.
        """
        if self.installed(kube):
            say(f"{self.name} {self.version} is already installed.")
            self.wait(kube)
            return
        source = self.source()
        with step(f"Installing {self.name} {self.version} from {source}"):
            try:
                self._apply(kube, source)
            except CommandError as error:
                raise ClusterError(
                    f"{self.name} was not installed; if this machine cannot reach {source}, download it on another "
                    f"one and set {self.file} to the file.\n{error.message}"
                ) from None
            self.wait(kube)

    def _apply(self, kube: Kube, source: str) -> None:
        manifest = None
        if self.arguments:
            objects = documents(
                kube.run("create", "--dry-run=client", "--output=json", f"--filename={source}")
            )
            manifest = "\n".join(map(json.dumps, with_arguments(objects, self.deployments, self.arguments)))
        name = "-" if manifest else source
        # Server-side: KEDA's definitions exceed the size of the annotation that a client-side apply writes.
        kube.run("apply", "--server-side", "--force-conflicts", f"--filename={name}", stdin=manifest)

    def wait(self, kube: Kube) -> None:
        """Wait until it runs and its API is available.

        Raises:
            ClusterError: It does not come up; with the reasons.
        """
        kube.wait_rollout(self.namespace, self.deployments, seconds=READY_SECONDS)
        try:
            kube.wait("condition=Available", f"apiservice/{self.api}", seconds=READY_SECONDS)
        except CommandError as error:
            raise ClusterError(kube.explained(error.message, self.namespace)) from None


def documents(text: str) -> list[Object]:
    """Return the objects of concatenated JSON documents, as kubectl prints them."""
    decoder, found, text = json.JSONDecoder(), [], text.strip()
    while text:
        item, end = decoder.raw_decode(text)
        found.append(item)
        text = text[end:].lstrip()
    return found


def with_arguments(objects: list[Object], deployments: list[str], arguments: list[str]) -> list[Object]:
    """Return a copy of objects with `arguments` added to the first container of the named Deployments."""
    changed: list[Object] = copy.deepcopy(objects)
    for item in changed:
        if item["kind"] == "Deployment" and item["metadata"]["name"] in deployments:
            container = item["spec"]["template"]["spec"]["containers"][0]
            given = container.get("args", [])
            container["args"] = [*given, *(word for word in arguments if word not in given)]
    return changed


def addons(path: Path = PINNED) -> dict[str, Addon]:
    """Return the add-ons of k8s/addons.toml by name."""
    return {name: Addon(name=name, **entry) for name, entry in tomllib.loads(path.read_text()).items()}


def require_keda(kube: Kube) -> Addon:
    """Return KEDA, which must be installed.

    Raises:
        ClusterError: It is not.
    """
    keda = addons()["keda"]
    try:
        kube.items("apiservice", keda.api)
        kube.items("customresourcedefinition", "scaledobjects.keda.sh")
    except CommandError:
        raise ClusterError(
            "KEDA is not installed, so nothing would scale: run `make cluster` first."
        ) from None
    return keda
