"""kubectl and helm on one kind cluster, and the reasons why its pods and volumes do not come up."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.kind.command import ClusterError, CommandError, output

Object = dict[str, Any]
HARMLESS = frozenset({"ContainerCreating", "PodInitializing"})
"""Reasons of a waiting container that is about to start."""


@dataclass(frozen=True)
class Kube:
    """A cluster by kubeconfig and context, which every command line names."""

    kubeconfig: Path
    context: str

    def command(self, *arguments: str) -> tuple[str, ...]:
        """Return a kubectl command line for this cluster and no other."""
        return ("kubectl", f"--kubeconfig={self.kubeconfig}", f"--context={self.context}", *arguments)

    def helm(self, *arguments: str) -> tuple[str, ...]:
        """Return a helm command line for this cluster and no other."""
        return ("helm", *arguments, f"--kubeconfig={self.kubeconfig}", f"--kube-context={self.context}")

    def run(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl and return its output.

        Raises:
            CommandError: kubectl failed.
        """
        return output(*self.command(*arguments), stdin=stdin)

    def items(self, *arguments: str) -> list[Object]:
        """Return the objects that `kubectl get ARGUMENTS` lists.

        Raises:
            CommandError: kubectl failed.
        """
        found: Object = json.loads(self.run("get", *arguments, "--output=json"))
        return list(found["items"]) if "items" in found else [found]

    def wait(self, condition: str, *what: str, seconds: int) -> None:
        """Wait until the objects `what` meet a condition (`condition=Ready`, `create`, ...).

        Raises:
            CommandError: They do not within `seconds`.
        """
        self.run("wait", f"--for={condition}", *what, f"--timeout={seconds}s")

    def wait_rollout(self, namespace: str, deployments: list[str], *, seconds: int) -> None:
        """Wait until Deployments have the desired replicas.

        Raises:
            ClusterError: They do not within `seconds`; with the troubles of their namespace.
        """
        for name in deployments:
            try:
                where = (f"--namespace={namespace}", f"--timeout={seconds}s")
                self.run("rollout", "status", f"deployment/{name}", *where)
            except CommandError as error:
                raise ClusterError(self.explained(error.message, namespace)) from None

    def explained(self, message: str, namespace: str) -> str:
        """Return `message` followed by the troubles of a namespace."""
        return "\n".join([message, *dict.fromkeys(self.troubles(namespace))])

    def troubles(self, namespace: str) -> Iterator[str]:
        """Yield a sentence for each pod and volume of a namespace that does not come up."""
        for pod in self.items("pods", f"--namespace={namespace}"):
            yield from pod_troubles(pod)
        warnings = self.items("events", f"--namespace={namespace}", "--field-selector=type=Warning")
        for claim in self.items("persistentvolumeclaims", f"--namespace={namespace}"):
            if claim["status"].get("phase") != "Bound":
                yield claim_trouble(claim, warnings)
        for event in warnings:
            if event["reason"] == "FailedCreate":
                yield f"{_named(event['involvedObject'])} cannot create its pods: {event['message']}"


def pod_troubles(pod: Object) -> Iterator[str]:
    """Yield a sentence for each reason why a pod does not run: no node, no image, a container that ends."""
    name, status = pod["metadata"]["name"], pod["status"]
    for condition in status.get("conditions", []):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            yield f"Pod {name} has no node: {condition.get('message', 'no reason is given')}"
    for container, waiting in _waiting(pod):
        reason = waiting["reason"]
        if reason not in HARMLESS:
            last = container.get("lastState", {}).get("terminated", {})
            ended = f" (it ended with {last['exitCode']}, {last.get('reason', '')})" if last else ""
            sentence = (
                f"Pod {name}, container {container['name']}: {reason}{ended}: {waiting.get('message', '')}"
            )
            yield sentence.rstrip(": ")


def without_image(pod: Object) -> list[str]:
    """Return POD/CONTAINER for each container of a pod that waits because of its image."""
    name = pod["metadata"]["name"]
    # Every such reason of the kubelet has the word: ErrImagePull, ImagePullBackOff, InvalidImageName ...
    return [
        f"{name}/{container['name']}" for container, waiting in _waiting(pod) if "Image" in waiting["reason"]
    ]


def _waiting(pod: Object) -> Iterator[tuple[Object, Object]]:
    """Yield the status of each container that waits for a reason, and its waiting state."""
    status = pod["status"]
    for container in [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]:
        waiting = container["state"].get("waiting", {})
        if waiting.get("reason"):
            yield container, waiting


def claim_trouble(claim: Object, warnings: list[Object]) -> str:
    """Return a sentence that says why a volume claim is not bound."""
    name = claim["metadata"]["name"]
    why = [event["message"] for event in warnings if event["involvedObject"].get("name") == name]
    kind = claim["spec"].get("storageClassName") or "the default one"
    reason = why[-1] if why else "no reason is given"
    return f"PersistentVolumeClaim {name} is not bound (storage class: {kind}): {reason}"


def _named(reference: Object) -> str:
    return f"{reference['kind']} {reference['name']}"
