"""Watch of one kind of objects: a thread that resumes after an interruption at the version it has reached."""

from typing import Any

from kubernetes import watch
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import ReadTimeoutError

from app.cluster.api import CONNECT_SECONDS
from app.cluster.cluster import CONNECTION_ERRORS, GONE, Cluster
from app.cluster.listener import Changed, Listed, Listener, Messages, Removed
from app.cluster.objects import Kind, read

WATCH_SECONDS = 50
"""The server ends each watch after this long; a read that lasts longer reveals a dead connection."""


class ObjectListener(Listener):
    """Watches all objects of a kind.

    Args:
        cluster: The cluster.
        kind: Kind of the objects.
        version: Resource version of the list that the watch continues.
        messages: Queue for its messages.
    """

    def __init__(self, cluster: Cluster, kind: Kind, version: str, messages: Messages) -> None:
        super().__init__(f"{kind}s", messages)
        self._cluster = cluster
        self._kind = kind
        self._version = version
        untyped: Any = watch.Watch
        self._watch = untyped(return_type="object")

    def stop(self) -> None:
        """Stop listening, and close the connection that the thread reads."""
        super().stop()
        self._watch.stop()

    def run(self) -> None:
        """Watch until stopped, across interruptions."""
        while not self._stopped.is_set():
            try:
                if not self._version:
                    objects, self._version = self._cluster.objects(self._kind)
                    self._messages.put(Listed(self._kind, objects))
                    self._recovered()
                elif self._reported:
                    self._cluster.ask_version()  # a quiet watch would not show that the cluster answers again
                    self._recovered()
                self._listen()
            except ReadTimeoutError:
                continue  # the connection died: not even the end of the watch arrived
            except CONNECTION_ERRORS as error:
                if self._stopped.is_set():
                    return
                if isinstance(error, ApiException) and error.status == GONE:
                    self._version = ""  # too old to continue from: list again
                self._interrupted(self._cluster.sentence(error, f"watch the {self._kind}s"))

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
            if self._stopped.is_set():
                return
            self._recovered()
            self._version = self._watch.resource_version or self._version
            if event["type"] == "BOOKMARK":
                continue
            item = read(self._kind, event["raw_object"])
            removed = event["type"] == "DELETED"
            self._messages.put(Removed(self._kind, item) if removed else Changed(item))
        self._recovered()
