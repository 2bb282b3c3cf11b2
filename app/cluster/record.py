"""Recording of a watch: a timeline, which the report reads like that of a local run."""

from app.client.news import QueueNews
from app.cluster.objects import Node
from app.cluster.state import Replicas
from app.cluster.watcher import FleetSnapshot, Watcher
from app.report.measures import summarize
from app.report.timeline import ClusterInfo, Meta, QueueSample, RunSummary, Sample, Timeline, read


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
            nodes={name: hardware(node) for name, node in sorted(nodes.items()) if node.for_workers},
        ),
    )


def hardware(node: Node) -> str:
    """Return the cores, memory and operating system of a node, as far as known."""
    memory = node.status.capacity.get("memory", "")
    if memory.endswith("Ki") and memory[:-2].isdecimal():
        memory = f"{int(memory[:-2]) / 1024**2:.1f} GiB"
    facts = [f"{node.status.capacity.get('cpu', '?')} cores", memory]
    facts.append(str(node.status.node_info.get("osImage", "")))
    return ", ".join(fact for fact in facts if fact)


class WatchRecorder:
    """Writes the snapshots of a watch to a timeline.

    Args:
        timeline: The timeline; its clock must have started with the watcher's.
    """

    def __init__(self, timeline: Timeline) -> None:
        self.timeline = timeline
        self._duplicates: dict[str, int] = {}
        self._duplicates_before: dict[str, int] = {}

    def record(self, snapshot: FleetSnapshot) -> None:
        """Write the events and documents of a snapshot, and a sample if it has fresh news or events."""
        for event in snapshot.events:
            self.timeline.record(event)
        for document in snapshot.documents:
            self.timeline.record(document)
        news = snapshot.news
        if news is None or not (snapshot.fresh or snapshot.events):
            return
        for batch in news.batches:
            self._duplicates_before.setdefault(batch.batch_id, batch.duplicates)
            self._duplicates[batch.batch_id] = batch.duplicates
        queues = {}
        for name in {**news.queues, **snapshot.replicas}:
            queue = news.queues.get(name, QueueNews(waiting=0, running=0, done=0))
            replicas = snapshot.replicas.get(name, Replicas())
            queues[name] = QueueSample(
                waiting=queue.waiting,
                running=queue.running,
                replicas=replicas.desired,
                ready=replicas.ready,
                done=queue.done,
            )
        sample = Sample(
            t=snapshot.t,
            queues=queues,
            settled=snapshot.settled,
            failed=snapshot.failed,
            nodes=snapshot.nodes,
        )
        self.timeline.record(sample)

    def finish(self) -> RunSummary:
        """Write the last line and return it.

        Raises:
            FleetError: The recording cannot be read back or written.
        """
        before = self._duplicates_before
        duplicates = sum(count - before[batch] for batch, count in self._duplicates.items())
        summary = summarize(read(self.timeline.path), duplicates=duplicates)
        self.timeline.record(summary)
        return summary
