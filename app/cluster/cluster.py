"""Connection to a cluster: choice of context and release, lists of objects, and errors as sentences."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import msgspec
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.config.config_exception import ConfigException
from urllib3.exceptions import HTTPError
from websocket import WebSocketException

from app.cluster.api import Api
from app.cluster.objects import Kind, Object, Pod, read
from app.errors import FleetError, UsageError

_kubeconfig: Any = config  # untyped
CHART = "pdf-fleet"
INSTANCE_LABEL = "app.kubernetes.io/instance"
CONNECTION_ERRORS = (ApiException, HTTPError, WebSocketException, OSError)
"""Errors of the Kubernetes client if the cluster does not answer, or refuses."""
FORBIDDEN, UNAUTHORIZED, NOT_FOUND, GONE = 403, 401, 404, 410


class Cluster:
    """One release in one namespace of one cluster; read-only.

    Args:
        namespace: Namespace of the fleet.
        context: Context of the kubeconfig; None for its current one.
        release: Helm release; None for the only one in the namespace.

    Raises:
        UsageError: There is no such context or namespace, no fleet in it, or more than one.
        FleetError: The cluster does not answer, or refuses.
    """

    def __init__(self, namespace: str, *, context: str | None = None, release: str | None = None) -> None:
        self.namespace = namespace
        self.context, self._configuration = _configuration(context)
        self.server = str(self._configuration.host)
        self.api = Api(self._configuration)
        with self._errors_as_sentences("read the version"):
            self.version = self.ask_version()
        self._require_namespace()
        self.release = self._choose(release)

    def ask_version(self) -> str:
        """Return the version of the API server.

        Raises:
            ApiException: Or another of `CONNECTION_ERRORS`.
        """
        return str(msgspec.json.decode(self.api.get("/version/").data)["gitVersion"])

    def exec(self, pod: str, container: str, command: list[str]) -> Any:
        """Return a connection to a command that runs in a pod, with its standard input open.

        Raises:
            ApiException: Or another of `CONNECTION_ERRORS`.
        """
        return self.api.exec(self._path("/api/v1", f"pods/{quote(pod, safe='')}/exec"), command, container)

    def selector(self, component: str) -> str:
        """Return the label selector of the release's pods or Deployments of a component."""
        return f"app.kubernetes.io/name={CHART},{INSTANCE_LABEL}={self.release},app.kubernetes.io/component={component}"

    def listed(self, kind: Kind) -> tuple[str, dict[str, Any]]:
        """Return the URL path to list and watch a kind of objects, and the parameters that select the fleet's."""
        if kind is Kind.NODE:
            return "/api/v1/nodes", {}
        group = {Kind.DEPLOYMENT: "/apis/apps/v1", Kind.POD: "/api/v1"}[kind]
        return self._path(group, f"{kind}s"), {"label_selector": self.selector("worker")}

    def objects(self, kind: Kind) -> tuple[list[Object], str]:
        """Return all objects of a kind, and the resource version of the list, which a watch can continue.

        Raises:
            ApiException: Or another of `CONNECTION_ERRORS`.
        """
        path, query = self.listed(kind)
        items, version = self._list(path, **query)
        return [read(kind, item) for item in items], version

    def first_objects(self, kind: Kind) -> tuple[list[Object], str]:
        """Do as `objects` for Deployments or pods, with errors as sentences.

        Raises:
            FleetError: The cluster does not answer, or refuses.
        """
        with self._errors_as_sentences(f"list the {kind}s of namespace {self.namespace}"):
            return self.objects(kind)

    def nodes_if_allowed(self) -> tuple[list[Object], str] | None:
        """Do as `objects` for the nodes; return None if the user may not list them.

        Raises:
            FleetError: The cluster does not answer.
        """
        try:
            return self.objects(Kind.NODE)
        except CONNECTION_ERRORS as error:
            if isinstance(error, ApiException) and error.status == FORBIDDEN:
                return None
            raise FleetError(self.sentence(error, "list the nodes")) from None

    def beat_pod(self) -> tuple[str, str] | None:
        """Return name and container of the youngest ready beat pod of the release; None if none is ready.

        Raises:
            ApiException: Or another of `CONNECTION_ERRORS`.
        """
        ready = [pod for pod in self.beat_pods() if pod.ready]
        if not ready:
            return None
        youngest = max(ready, key=lambda pod: pod.metadata.creation_timestamp)
        names = [container.name for container in youngest.spec.containers]
        return youngest.metadata.name, "beat" if "beat" in names or not names else names[0]

    def beat_pods(self) -> list[Pod]:
        """Return the beat pods of the release.

        Raises:
            ApiException: Or another of `CONNECTION_ERRORS`.
        """
        items, _ = self._list(self._path("/api/v1", "pods"), label_selector=self.selector("beat"))
        pods = [read(Kind.POD, item) for item in items]
        return [pod for pod in pods if isinstance(pod, Pod)]

    def require_beat(self) -> None:
        """Check that there is a beat pod, ready or not.

        Raises:
            FleetError: There is none.
        """
        with self._errors_as_sentences(f"list the pods of namespace {self.namespace}"):
            pods = self.beat_pods()
        if not pods:
            raise FleetError(
                f"Release {self.release} has no beat pod in namespace {self.namespace}, and only it can read the "
                f"queues: see kubectl --context {self.context} --namespace {self.namespace} get deployments."
            )

    def _require_namespace(self) -> None:
        try:
            _ = self.api.get(self._path("/api/v1")).data
        except CONNECTION_ERRORS as error:
            status = error.status if isinstance(error, ApiException) else None
            if status == NOT_FOUND:
                raise UsageError(
                    f"There is no namespace {self.namespace} in context {self.context}: "
                    f"see kubectl --context {self.context} get namespaces."
                ) from None
            # Users who may not read namespaces may still read this one's objects.
            if status != FORBIDDEN:
                raise FleetError(self.sentence(error, f"read namespace {self.namespace}")) from None

    def _choose(self, release: str | None) -> str:
        selector = f"app.kubernetes.io/name={CHART},app.kubernetes.io/component=worker"
        with self._errors_as_sentences(f"list the deployments of namespace {self.namespace}"):
            found, _ = self._list(self._path("/apis/apps/v1", "deployments"), label_selector=selector)
        names = sorted({item["metadata"]["labels"].get(INSTANCE_LABEL, "") for item in found} - {""})
        if not names:
            raise UsageError(
                f"There is no fleet in namespace {self.namespace} of context {self.context}: install one "
                "(helm install fleet helm/pdf-fleet), or name another with --namespace or --context."
            )
        if release is not None and release not in names:
            raise UsageError(
                f"There is no release {release} in namespace {self.namespace}; it has: {', '.join(names)}."
            )
        if release is None and len(names) > 1:
            raise UsageError(
                f"Namespace {self.namespace} has several fleets ({', '.join(names)}): choose with --release."
            )
        return release or str(names[0])

    def sentence(self, error: Exception, doing: str) -> str:
        """Return an error of `CONNECTION_ERRORS` as a sentence that says what to do.

        Args:
            error: The error.
            doing: The request, such as "list the pods".
        """
        if isinstance(error, ApiException):
            status = error.status or _handshake_status(error)
            if status == UNAUTHORIZED:
                return f"The cluster of context {self.context} does not know you: log in to it again."
            if status == FORBIDDEN:
                return (
                    f"You may not {doing} in the cluster of context {self.context}: "
                    "ask its administrator for the right, or choose another --context."
                )
            if status:
                return f"The cluster of context {self.context} failed to {doing}: {status} {_reason(error)}."
        return (
            f"The cluster of context {self.context} does not answer at {self.server} ({_reason(error)}): "
            "start it, or choose another --context."
        )

    @contextmanager
    def _errors_as_sentences(self, doing: str) -> Iterator[None]:
        try:
            yield
        except CONNECTION_ERRORS as error:
            raise FleetError(self.sentence(error, doing)) from None

    def _path(self, group: str, *inside: str) -> str:
        return "/".join([group, "namespaces", quote(self.namespace, safe=""), *inside])

    def _list(self, path: str, **query: Any) -> tuple[list[dict[str, Any]], str]:
        answer = msgspec.json.decode(self.api.get(path, **query).data)
        return answer.get("items") or [], str(answer.get("metadata", {}).get("resourceVersion", ""))


def handshake_refused(error: Exception) -> bool:
    """Return whether a WebSocket was refused because the user lacks the right."""
    return isinstance(error, ApiException) and (error.status or _handshake_status(error)) == FORBIDDEN


def _configuration(context: str | None) -> tuple[str, client.Configuration]:
    try:
        contexts, current = _kubeconfig.list_kube_config_contexts()
    except ConfigException as error:
        raise UsageError(
            f"There is no usable kubeconfig ({error}): create a cluster, or set KUBECONFIG."
        ) from None
    except Exception as error:  # the library raises many types if the YAML is broken or its content is odd
        raise UsageError(f"The kubeconfig cannot be read: {_reason(error)}.") from None
    names = [entry["name"] for entry in contexts]
    chosen = context or current["name"]
    if chosen not in names:
        raise UsageError(f"The kubeconfig has no context {chosen}; it has: {', '.join(names) or 'none'}.")
    configuration = client.Configuration()
    # An absent cluster is reported at once; the listeners retry by themselves.
    configuration.retries = False
    try:
        _kubeconfig.load_kube_config(context=chosen, client_configuration=configuration, persist_config=False)
    except Exception as error:
        raise UsageError(f"Context {chosen} of the kubeconfig cannot be used: {_reason(error)}.") from None
    return chosen, configuration


def _handshake_status(error: ApiException) -> int:
    found = re.search(r"Handshake status (\d{3})", str(error.reason))
    return int(found[1]) if found else 0


def _reason(error: Exception) -> str:
    """Return the reason of an error in one line."""
    if isinstance(error, ApiException):
        try:
            return str(msgspec.json.decode(error.body or "")["message"]).rstrip(".")
        except (msgspec.DecodeError, KeyError, TypeError):
            return " ".join(str(error.reason).partition(" -+-+- ")[0].split())
    cause = next((argument for argument in error.args if isinstance(argument, Exception)), error)
    reason = getattr(error, "reason", None) or cause
    text = " ".join(str(reason).split())
    return text.rpartition(": ")[2] if isinstance(error, HTTPError) else text
