"""kubectl on one cluster of kind's, and what its objects say about why something does not come up."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.cluster.state import NO_IMAGE
from tools.kind.command import ClusterError, CommandError, output

Object = dict[str, Any]
HARMLESS = frozenset({"ContainerCreating", "PodInitializing"})
"""Why a container waits that is simply not there yet."""


@dataclass(frozen=True)
class Kube:
    """A cluster as kubectl reaches it: by a kubeconfig and a context that are named in every call."""

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
            CommandError: it failed.
        """
        return output(*self.command(*arguments), stdin=stdin)

    def items(self, *arguments: str) -> list[Object]:
        """Return what `kubectl get ARGUMENTS` lists.

        Raises:
            CommandError: it failed.
        """
        found: Object = json.loads(self.run("get", *arguments, "--output=json"))
        return list(found["items"]) if "items" in found else [found]

    def wait(self, condition: str, *what: str, seconds: int) -> None:
        """Wait until what is named fulfils a condition (`condition=Ready`, `create`, ...).

        Raises:
            CommandError: it did not in time.
        """
        self.run("wait", f"--for={condition}", *what, f"--timeout={seconds}s")

    def wait_rollout(self, namespace: str, deployments: list[str], *, seconds: int) -> None:
        """Wait until deployments run as they are asked for.

        Raises:
            ClusterError: they do not in time; with what their namespace says about it.
        """
        for name in deployments:
            try:
                self.run(
                    "rollout",
                    "status",
                    f"deployment/{name}",
                    f"--namespace={namespace}",
                    f"--timeout={seconds}s",
                )
            except CommandError as error:
                raise ClusterError(self.explained(error.message, namespace)) from None

    def explained(self, message: str, namespace: str) -> str:
        """Return `message` with what is wrong in a namespace."""
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
                yield f"{_named(event['involvedObject'])} may not make its pods: {event['message']}"


def pod_troubles(pod: Object) -> Iterator[str]:
    """Yield why a pod does not run: not scheduled, an image that is not there, a container that ends."""
    name, status = pod["metadata"]["name"], pod["status"]
    for condition in status.get("conditions", []):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            yield f"Pod {name} has no node: {condition.get('message', 'no reason is given')}"
    for container, waiting in _waiting(pod):
        reason = waiting["reason"]
        if reason not in HARMLESS:
            last = container.get("lastState", {}).get("terminated", {})
            ended = f" (it ended with {last['exitCode']}, {last.get('reason', '')})" if last else ""
            yield f"Pod {name}, container {container['name']}: {reason}{ended}: {waiting.get('message', '')}".rstrip(
                ": "
            )


def without_image(pod: Object) -> list[str]:
    """Return the containers of a pod whose image cannot be had, by the pod's and their own names."""
    name = pod["metadata"]["name"]
    return [
        f"{name}/{container['name']}" for container, waiting in _waiting(pod) if waiting["reason"] in NO_IMAGE
    ]


def _waiting(pod: Object) -> Iterator[tuple[Object, Object]]:
    """Yield the status of each container that waits for a reason, and what it says of its waiting."""
    status = pod["status"]
    for container in [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]:
        waiting = container["state"].get("waiting", {})
        if waiting.get("reason"):
            yield container, waiting


def claim_trouble(claim: Object, warnings: list[Object]) -> str:
    """Return why a volume is not there."""
    name = claim["metadata"]["name"]
    why = [event["message"] for event in warnings if event["involvedObject"].get("name") == name]
    kind = claim["spec"].get("storageClassName") or "the default one"
    reason = why[-1] if why else "no reason is given"
    return f"PersistentVolumeClaim {name} is not bound (storage class: {kind}): {reason}"


def _named(reference: Object) -> str:
    return f"{reference['kind']} {reference['name']}"
