"""What a watch asks of the Kubernetes API: GET, and exec by WebSocket.

The Kubernetes client knows every way to log in to a cluster and every kind of connection; its generated methods are
done without, for the models behind them take another second to import.

Import this module late: the rest of the client takes half a second.
"""

import re
from typing import Any
from urllib.parse import urlencode

from kubernetes import client
from kubernetes.client.exceptions import ApiException
from kubernetes.client.rest import RESTClientObject
from kubernetes.stream import ws_client
from urllib3 import Timeout

CONNECT_SECONDS, READ_SECONDS = 10.0, 30.0


class Api:
    """One cluster's API, for any number of threads.

    Args:
        configuration: Where it is, and who asks.
    """

    def __init__(self, configuration: client.Configuration) -> None:
        self._configuration: Any = configuration
        rest: Any = RESTClientObject(configuration)  # neither says anything of its types
        self._pool: Any = rest.pool_manager

    def get(
        self,
        path: str,
        *,
        _request_timeout: tuple[float, float] = (CONNECT_SECONDS, READ_SECONDS),
        _preload_content: bool = False,
        **query: Any,
    ) -> Any:
        """Return the answer, whose body is still to be read.

        All has the names that the client's own methods give it: its `Watch` calls this as one of them.

        Raises:
            ApiException: where it is a refusal.
            HTTPError: where there is no answer.
        """
        response = self._pool.request(
            "GET",
            self._url(path) + ("?" + urlencode(_parameters(query)) if query else ""),
            headers={"Accept": "application/json", "User-Agent": "pdf-fleet", **self._login()},
            timeout=Timeout(connect=_request_timeout[0], read=_request_timeout[1]),
            preload_content=_preload_content,
        )
        if not 200 <= response.status <= 299:  # noqa: PLR2004  # HTTP's own
            refusal: Any = ApiException(status=response.status, reason=response.reason)
            refusal.body = response.data
            raise refusal
        return response

    def connect(self, path: str, command: list[str], container: str) -> Any:
        """Return the connection to a command that is exec'd in a container, its input open.

        Raises:
            ApiException: where it cannot be.
        """
        ends = [(name, "true") for name in ("stdin", "stdout", "stderr")]
        query = [("container", container), ("command", command), *ends, ("tty", "false")]
        call: Any = ws_client.websocket_call
        return call(
            self._configuration,
            "GET",
            self._url(path),
            query_params=query,
            headers=self._login(),
            binary=True,
            _preload_content=False,
        )

    def _url(self, path: str) -> str:
        return str(self._configuration.host).rstrip("/") + path

    def _login(self) -> dict[str, str]:
        """The headers that say who asks; where a login has run out, the client makes it anew here."""
        settings = self._configuration.auth_settings().values()
        return {one["key"]: one["value"] for one in settings if one["in"] == "header" and one["value"]}


def _parameters(query: dict[str, Any]) -> dict[str, str]:
    """As the API names and writes them: `{"allow_it": True}` is `{"allowIt": "true"}`."""
    return {
        re.sub(r"_(\w)", lambda found: found[1].upper(), name): str(value).lower()
        if isinstance(value, bool)
        else str(value)
        for name, value in query.items()
    }
