"""Snapshots of a fleet on a cluster, from the messages of all listeners."""

import queue
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Self, TypeVar

import msgspec

from app.client.news import Away, News
from app.cluster.cluster import Cluster
from app.cluster.listener import (
    STOP_SECONDS,
    Broken,
    Changed,
    Failed,
    Listed,
    Listener,
    Message,
    Messages,
    Removed,
)
from app.cluster.news_listener import NewsListener
from app.cluster.object_listener import ObjectListener
from app.cluster.objects import Kind, Object
from app.cluster.state import FleetState, Replicas
from app.errors import FleetError
from app.report.timeline import DocumentRecord, Event, Stage, What

_Timed = TypeVar("_Timed", DocumentRecord, Stage)
TICK_SECONDS = 0.5
FIRST_NEWS_SECONDS = 15.0
"""How long the beat pod may take to send its first news before a snapshot says that it is missing."""
GONE_SECONDS = 10.0
"""How long a fleet may have no Deployment: an upgrade may recreate them."""
RECOVERED_MESSAGES = {
    "redis": "the fleet's Redis answers again",
    "news": "the fleet sends news again",
    "deployments": "the Deployments are watched again",
    "pods": "the pods are watched again",
    "nodes": "the nodes are watched again",
}
"""What an event says once a source works again."""


class FleetSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A fleet at one moment, and its events since the previous snapshot."""

    t: float
    """Seconds since the watch began."""
    replicas: dict[str, Replicas]
    nodes: dict[str, dict[str, int]]
    """Ready pods by node and queue."""
    news: News | None
    """Latest news of the fleet; None before the first."""
    news_age: float
    """Age of the latest news in seconds."""
    broken: list[str]
    """Current interruptions, a sentence each."""
    events: list[Event]
    documents: list[DocumentRecord]
    """Documents settled since the previous snapshot; times in seconds since the watch began."""
    settled: int
    """Documents settled since the watch began."""
    failed: dict[str, int]
    """Those of them with an error, by its code."""
    fresh: bool
    """Whether news arrived since the previous snapshot."""
    idle: bool
    """Whether there was work, all of it is settled, and no worker is left."""


class Watcher:
    """Watches a fleet; a context manager that stops its threads.

    Args:
        cluster: The cluster and release.
        clock: Monotonic clock, in seconds.

    Raises:
        FleetError: On entry: the release has no beat pod, or the cluster refuses or does not answer.
    """

    def __init__(self, cluster: Cluster, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.cluster = cluster
        self.state = FleetState()
        self._clock = clock
        self._zero = clock()
        self._messages: Messages = queue.SimpleQueue()
        self._listeners: list[Listener] = []
        self._broken: dict[str, str] = {}
        self._documents: list[DocumentRecord] = []
        self._events: list[Event] = []
        self._news: News | None = None
        self._news_at = 0.0
        self._epoch_zero: float | None = None
        self._settled = 0
        self._failed: Counter[str] = Counter()
        self._fresh = False
        self._worked = False
        self._gone_since: float | None = None

    def __enter__(self) -> Self:
        cluster = self.cluster
        cluster.require_beat()
        for kind in (Kind.DEPLOYMENT, Kind.POD):
            self._listen(kind, *cluster.first_objects(kind))
        nodes = cluster.nodes_if_allowed()
        if nodes is not None:
            self._listen(Kind.NODE, *nodes)
        self._listeners.append(NewsListener(cluster, self._messages))
        for listener in self._listeners:
            listener.start()
        return self

    def __exit__(self, *_: object) -> None:
        deadline = time.monotonic() + STOP_SECONDS
        for listener in self._listeners:
            listener.stop()
        for listener in self._listeners:
            while listener.is_alive() and time.monotonic() < deadline:
                listener.stop()  # again, as it may have been between two connections
                listener.join(0.2)

    def elapsed(self) -> float:
        """Return the seconds since the watch began, to the millisecond."""
        return round(self._clock() - self._zero, 3)

    def snapshots(self) -> Iterator[FleetSnapshot]:
        """Yield a snapshot every `TICK_SECONDS`.

        Raises:
            FleetError: A source cannot work at all, or the release was uninstalled.
        """
        while True:
            deadline = time.monotonic() + TICK_SECONDS
            while (left := deadline - time.monotonic()) > 0:
                try:
                    self._apply(self._messages.get(timeout=left))
                except queue.Empty:
                    break
            yield self._snapshot()

    def _listen(self, kind: Kind, objects: list[Object], version: str) -> None:
        self.state.replace(kind, objects, 0.0)
        self._listeners.append(ObjectListener(self.cluster, kind, version, self._messages))

    def _apply(self, message: Message) -> None:
        t = self.elapsed()
        match message:
            case Listed(kind, objects):
                self.state.replace(kind, objects, t)
            case Changed(item):
                self.state.put(item, t)
            case Removed(kind, item):
                self.state.remove(kind, item.metadata.name, t)
            case Broken(source, sentence):
                self._set_broken(source, sentence)
            case Failed(error):
                raise error
            case Away():
                self._set_broken("redis", f"The fleet's Redis does not answer ({message.message}).")
            case News():
                self._set_broken("redis", "")
                self._apply_news(message, t)

    def _apply_news(self, news: News, t: float) -> None:
        if self._epoch_zero is None:
            # By the clock of the fleet, which may differ from ours.
            self._epoch_zero = news.time - t
        self._fresh = True
        self._news, self._news_at = news, t
        depth = sum(queue.waiting + queue.running for queue in news.queues.values())
        self._worked = self._worked or bool(news.documents or news.open or depth)
        for document in news.documents:
            self._documents.append(since(document, self._epoch_zero))
            self._settled += 1
            if document.error:
                self._failed[document.error] += 1
        if news.missed:
            message = "settled documents were missed: the news was interrupted for too long"
            self._events.append(Event(t=t, what=What.FAULT, message=message))

    def _set_broken(self, source: str, sentence: str) -> None:
        before = self._broken.pop(source, "")
        if sentence:
            self._broken[source] = sentence
        if sentence != before:
            what = What.FAULT if sentence else What.RECOVERED
            self._events.append(
                Event(t=self.elapsed(), what=what, message=sentence or RECOVERED_MESSAGES[source])
            )

    def _snapshot(self) -> FleetSnapshot:
        t = self.elapsed()
        self.state.tick(t)
        self._require_fleet(t)
        events, self._events = [*self.state.events(), *self._events], []
        documents, self._documents = self._documents, []
        fresh, self._fresh = self._fresh, False
        return FleetSnapshot(
            t=t,
            replicas=self.state.queues,
            nodes=self.state.pods_by_node,
            news=self._news,
            news_age=t - self._news_at,
            broken=self._sentences(t),
            events=sorted(events, key=lambda event: event.t),
            documents=documents,
            settled=self._settled,
            failed=dict(self._failed),
            fresh=fresh,
            idle=self._idle(),
        )

    def _sentences(self, t: float) -> list[str]:
        if self._news is None and not self._broken and t > FIRST_NEWS_SECONDS:
            return ["The beat pod has not sent any news yet."]
        return list(self._broken.values())

    def _idle(self) -> bool:
        news = self._news
        if news is None or not self._worked or self._broken or not self.state.at_zero:
            return False
        return news.open == 0 and all(queue.waiting == queue.running == 0 for queue in news.queues.values())

    def _require_fleet(self, t: float) -> None:
        if not self.state.gone:
            self._gone_since = None
            return
        self._gone_since = t if self._gone_since is None else self._gone_since
        if t - self._gone_since > GONE_SECONDS:
            raise FleetError(
                f"Release {self.cluster.release} was uninstalled: namespace {self.cluster.namespace} has no "
                "worker Deployments any more."
            )


def since(document: DocumentRecord, zero: float) -> DocumentRecord:
    """Return a document with its times, and those of its stages, relative to `zero`; in seconds."""
    stages = [_shifted(stage, zero) for stage in document.stages]
    return msgspec.structs.replace(_shifted(document, zero), stages=stages)


def _shifted(record: _Timed, zero: float) -> _Timed:
    times = {name: getattr(record, name) for name in ("opened", "started", "finished")}
    relative = {name: round(at - zero, 4) for name, at in times.items() if at is not None}
    return msgspec.structs.replace(record, **relative)
