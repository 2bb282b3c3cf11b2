"""The watches of a cluster's objects, a thread for each kind. One that breaks is taken up again where it was."""

from typing import Any

from kubernetes import watch
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import ReadTimeoutError

from app.cluster.api import CONNECT_SECONDS
from app.cluster.cluster import CONNECTION_ERRORS, GONE, Cluster
from app.cluster.listener import Changed, Listed, Listener, Messages, Removed
from app.cluster.objects import Kind, read

WATCH_SECONDS = 50
"""The server ends a watch after this long, and it is asked for anew: so a connection that died is noticed."""


class ObjectListener(Listener):
    """Watches all objects of a kind.

    Args:
        cluster: Where.
        kind: Which.
        version: From where on, as the list said that came before.
        messages: Where it puts what it hears.
    """

    def __init__(self, cluster: Cluster, kind: Kind, version: str, messages: Messages) -> None:
        super().__init__(f"{kind}s", messages)
        self._cluster = cluster
        self._kind = kind
        self._version = version
        new_watch: Any = watch.Watch  # says nothing of its types
        self._watch = new_watch(return_type="object")

    def end(self) -> None:
        """Tell it to end, and close its connection under it."""
        super().end()
        self._watch.stop()

    def run(self) -> None:
        """Watch until the end, whatever becomes of the connection."""
        while not self._ended.is_set():
            try:
                if not self._version:
                    objects, self._version = self._cluster.objects(self._kind)
                    self._messages.put(Listed(self._kind, objects))
                    self._mended()
                elif self._said:
                    self._cluster.ask_version()  # a watch on which nothing happens does not tell that it stands
                    self._mended()
                self._listen()
            except ReadTimeoutError:
                continue  # nothing came, not even the end: a connection that died
            except CONNECTION_ERRORS as error:
                if self._ended.is_set():
                    return
                if isinstance(error, ApiException) and error.status == GONE:
                    self._version = ""  # too old to go on from: list again
                self._broken(self._cluster.sentence(error, f"watch the {self._kind}s"))

    def _listen(self) -> None:
        path, query = self._cluster.listed(self._kind)
        for event in self._watch.stream(
            self._cluster.api.get,
            path,
            **query,
            resource_version=self._version,
            allow_watch_bookmarks=True,
            timeout_seconds=WATCH_SECONDS,
            _request_timeout=(CONNECT_SECONDS, WATCH_SECONDS + CONNECT_SECONDS),
        ):
            if self._ended.is_set():
                return
            self._mended()
            self._version = self._watch.resource_version or self._version
            if event["type"] == "BOOKMARK":
                continue
            one = read(self._kind, event["raw_object"])
            gone = event["type"] == "DELETED"
            self._messages.put(Removed(self._kind, one) if gone else Changed(one))
        self._mended()
