"""Reads of the Kubernetes API: GET, and exec by WebSocket.

The Kubernetes client logs in, keeps the connections and sends the requests. Its generated methods stay unused: their
models take 1.2 s to import, and the dynamic client needs none.
"""

from typing import Any

from kubernetes import client
from kubernetes.dynamic import DynamicClient
from kubernetes.stream import ws_client

CONNECT_SECONDS, READ_SECONDS = 10.0, 30.0


class Api:
    """One cluster's API, for any number of threads.

    Args:
        configuration: Address of the cluster, and credentials.
    """

    def __init__(self, configuration: client.Configuration) -> None:
        self._configuration = configuration
        untyped: Any = DynamicClient
        # Every path is known here: without a discoverer the client does not ask the cluster for its resources first.
        self._client = untyped(client.ApiClient(configuration), discoverer=lambda *_: None)

    def get(
        self,
        path: str,
        *,
        _request_timeout: tuple[float, float] = (CONNECT_SECONDS, READ_SECONDS),
        **query: Any,
    ) -> Any:
        """Return the response to a GET, its body not read yet; the client's `Watch` can call this method.

        Args:
            path: Path of the URL.
            _request_timeout: Seconds to connect and seconds to wait for data, named as `Watch` names it.
            query: Parameters by the client's names, such as `label_selector`.

        Raises:
            ApiException: The cluster refuses.
            HTTPError: The cluster does not answer.
        """
        return self._client.request("get", path, serialize=False, _request_timeout=_request_timeout, **query)

    def exec(self, path: str, command: list[str], container: str) -> Any:
        """Return a connection to a command that runs in a container, with its standard input open.

        Raises:
            ApiException: The command cannot be started.
        """
        streams = [(name, "true") for name in ("stdin", "stdout", "stderr")]
        # The client renews an expired login here.
        login = self._configuration.auth_settings().get("BearerToken")
        call: Any = ws_client.websocket_call
        return call(
            self._configuration,
            "GET",
            f"{self._configuration.host}{path}",
            query_params=[("container", container), ("command", command), *streams, ("tty", "false")],
            headers={login["key"]: login["value"]} if login else {},
            binary=True,
            capture_all=False,
            _preload_content=False,
        )
