"""The recording of a watch: a timeline that the report reads like that of a local run."""

from app.cluster.objects import Node
from app.cluster.watcher import FleetSnapshot, Watcher
from app.report.measures import summarize
from app.report.timeline import (
    ClusterInfo,
    DocumentRecord,
    Event,
    Meta,
    QueueSample,
    RunSummary,
    Sample,
    Timeline,
    read,
)


def watch_meta(watcher: Watcher, command: str) -> Meta:
    """Return the first line of a recording."""
    cluster, nodes = watcher.cluster, watcher.state.nodes
    return Meta(
        command=command,
        cluster=ClusterInfo(
            context=cluster.context,
            namespace=cluster.namespace,
            release=cluster.release,
            version=cluster.version,
            nodes={name: words(node) for name, node in sorted(nodes.items()) if node.for_workers},
        ),
    )


def words(node: Node) -> str:
    """Return what a node has: processors, memory, system."""
    memory = node.status.capacity.get("memory", "")
    if memory.endswith("Ki") and memory[:-2].isdecimal():
        memory = f"{int(memory[:-2]) / 1024**2:.1f} GiB"
    facts = [f"{node.status.capacity.get('cpu', '?')} cores", memory]
    facts.append(str(node.status.node_info.get("osImage", "")))
    return ", ".join(fact for fact in facts if fact)


class WatchRecorder:
    """Writes what is seen to a timeline.

    Args:
        timeline: Where to; its clock must have started with the watcher's.
    """

    def __init__(self, timeline: Timeline) -> None:
        self.timeline = timeline
        self._duplicates: dict[str, int] = {}
        self._duplicates_before: dict[str, int] = {}

    def look(self, look: FleetSnapshot) -> None:
        """Note a look: its events and documents, and a sample where the fleet told something new."""
        for event in look.events:
            self.timeline.record(event)
        for document in look.documents:
            self.timeline.record(document)
        if look.news is None or not (look.told or look.events):
            return
        news = look.news
        for batch in news.batches:
            self._duplicates_before.setdefault(batch.batch_id, batch.duplicates)
            self._duplicates[batch.batch_id] = batch.duplicates
        queues = {}
        for name in (*news.queues, *(name for name in look.replicas if name not in news.queues)):
            told, replicas = news.queues.get(name), look.replicas.get(name)
            queues[name] = QueueSample(
                waiting=told.waiting if told else 0,
                running=told.running if told else 0,
                replicas=replicas.asked if replicas else 0,
                ready=replicas.ready if replicas else 0,
                done=told.done if told else 0,
            )
        sample = Sample(t=look.t, queues=queues, settled=look.settled, failed=look.failed, nodes=look.nodes)
        self.timeline.record(sample)

    def finish(self) -> RunSummary:
        """Write the last line and return it.

        Raises:
            FleetError: where the recording cannot be read back or written.
        """
        records = [
            record
            for record in read(self.timeline.path)
            if isinstance(record, DocumentRecord | Event | Sample)
        ]
        before = self._duplicates_before
        duplicates = sum(count - before[batch] for batch, count in self._duplicates.items())
        summary = summarize(records, duplicates=duplicates)
        self.timeline.record(summary)
        return summary
