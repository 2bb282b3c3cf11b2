"""A fleet on a cluster at one moment, again and again: the threads' messages put together."""

import queue
import time
from collections import Counter
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

import msgspec

from app.client.news import Away, News
from app.cluster.cluster import Cluster
from app.cluster.listener import (
    END_SECONDS,
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
from app.cluster.objects import Deployment, Kind, Node, Pod
from app.cluster.state import FleetState, Replicas
from app.errors import FleetError
from app.report.timeline import DocumentRecord, Event, What

TICK_SECONDS = 0.5
FIRST_WORD_SECONDS = 15.0
MOST_KNOWN = 20_000
"""Documents remembered as told: more than come again after an interruption."""
GONE_SECONDS = 10.0
"""How long a fleet without any Deployment is waited for: an upgrade may make them anew."""


class FleetSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A fleet at one moment, and what happened since the look before."""

    t: float
    """Seconds since the watch began."""
    replicas: dict[str, Replicas]
    nodes: dict[str, dict[str, int]]
    """Ready pods by node and queue."""
    news: News | None
    """What the fleet told last; None before its first word."""
    news_age: float
    """How old that is, in seconds."""
    broken: list[str]
    """What is interrupted, as sentences."""
    events: list[Event]
    documents: list[DocumentRecord]
    """Settled since the look before; times in seconds since the watch began."""
    settled: int
    failed: dict[str, int]
    """Of those settled since the watch began, by code of the error."""
    told: bool
    """Whether the fleet told something since the look before."""
    idle: bool
    """Whether there was work, all of it is settled, and no worker is left."""


class Watcher:
    """Watches a fleet; a context manager that ends its threads.

    Args:
        cluster: Where.
        clock: Seconds that never run backwards.

    Raises:
        FleetError: where the cluster refuses what is needed.
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
        self._known: dict[tuple[str, float | None], None] = {}
        self._told = False
        self._worked = False
        self._gone_since: float | None = None

    def __enter__(self) -> Self:
        cluster = self.cluster
        cluster.require_beat()
        for kind in (Kind.DEPLOYMENT, Kind.POD):
            self._begin(kind, *cluster.first_objects(kind))
        nodes = cluster.nodes_if_allowed()
        if nodes is not None:
            self._begin(Kind.NODE, *nodes)
        self._listeners.append(NewsListener(cluster, self._messages))
        for listener in self._listeners:
            listener.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        deadline = time.monotonic() + END_SECONDS
        for listener in self._listeners:
            listener.end()
        for listener in self._listeners:
            while listener.is_alive() and time.monotonic() < deadline:
                listener.end()  # again, where it was between two connections
                listener.join(0.2)

    def elapsed(self) -> float:
        """Seconds since the watch began."""
        return round(self._clock() - self._zero, 3)

    def snapshots(self) -> Iterator[FleetSnapshot]:
        """Yield a look every `TICK_SECONDS`.

        Raises:
            FleetError: where nothing can be watched any more.
        """
        while True:
            deadline = time.monotonic() + TICK_SECONDS
            while (left := deadline - time.monotonic()) > 0:
                try:
                    self._take(self._messages.get(timeout=left))
                except queue.Empty:
                    break
            yield self._snapshot()

    def _begin(self, kind: Kind, objects: list[Deployment | Pod | Node], version: str) -> None:
        self.state.replace(kind, objects, 0.0)
        self._listeners.append(ObjectListener(self.cluster, kind, version, self._messages))

    def _take(self, message: Message) -> None:
        t = self.elapsed()
        match message:
            case Listed(kind, objects):
                self.state.replace(kind, objects, t)
            case Changed(one):
                self.state.put(one, t)
            case Removed(kind, one):
                if not isinstance(one, Deployment) or one.queue:
                    self.state.remove(kind, one.metadata.name, t)
            case Broken(source, sentence):
                self._note_broken(source, sentence)
            case Failed(error):
                raise error
            case Away():
                self._note_broken("redis", f"The fleet's Redis does not answer ({message.message}).")
            case News():
                self._note_broken("redis", "")
                self._take_news(message, t)

    def _take_news(self, news: News, t: float) -> None:
        if self._epoch_zero is None:
            # The fleet's clock, not ours: they may differ.
            self._epoch_zero = news.time - t
        self._told = True
        self._news, self._news_at = news, t
        depth = sum(one.waiting + one.running for one in news.queues.values())
        self._worked = self._worked or bool(news.documents or news.open or depth)
        for document in news.documents:
            if self._is_new(document):
                self._documents.append(since(document, self._epoch_zero))
                self._settled += 1
                if document.error:
                    self._failed[document.error] += 1

    def _is_new(self, document: DocumentRecord) -> bool:
        """Whether it was not told before; after an interruption some come again."""
        key = (document.id, document.finished)
        if key in self._known:
            return False
        self._known[key] = None
        if len(self._known) > MOST_KNOWN:
            del self._known[next(iter(self._known))]
        return True

    def _note_broken(self, source: str, sentence: str) -> None:
        before = self._broken.pop(source, "")
        if sentence:
            self._broken[source] = sentence
        if sentence != before:
            what = What.FAULT if sentence else What.RECOVERED
            self._events.append(
                Event(t=self.elapsed(), what=what, message=sentence or f"{_named(source)} again")
            )

    def _snapshot(self) -> FleetSnapshot:
        t = self.elapsed()
        self.state.tick(t)
        self._require_fleet(t)
        events, self._events = [*self.state.events(), *self._events], []
        documents, self._documents = self._documents, []
        told, self._told = self._told, False
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
            told=told,
            idle=self._idle(),
        )

    def _sentences(self, t: float) -> list[str]:
        if self._news is None and not self._broken and t > FIRST_WORD_SECONDS:
            return ["The beat pod has not said anything yet."]
        return list(self._broken.values())

    def _idle(self) -> bool:
        news = self._news
        if news is None or not self._worked or self._broken or not self.state.at_zero:
            return False
        return news.open == 0 and all(one.waiting == one.running == 0 for one in news.queues.values())

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
    """Return a document with its times counted from `zero`."""

    def at(moment: float | None) -> float | None:
        return None if moment is None else round(moment - zero, 4)

    replace = msgspec.structs.replace
    stages = [
        replace(
            stage,
            opened=round(stage.opened - zero, 4),
            started=round(stage.started - zero, 4),
            finished=round(stage.finished - zero, 4),
        )
        for stage in document.stages
    ]
    return replace(
        document,
        opened=round(document.opened - zero, 4),
        started=at(document.started),
        finished=at(document.finished),
        stages=stages,
    )


def _named(source: str) -> str:
    return {
        "redis": "the fleet's Redis answers",
        "news": "the fleet tells of itself",
        "deployments": "the Deployments are watched",
        "pods": "the pods are watched",
        "nodes": "the nodes are watched",
    }[source]
