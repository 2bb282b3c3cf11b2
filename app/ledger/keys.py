"""Every Redis key of the ledger, under one prefix.

| key | type | holds |
| --- | --- | --- |
| `<prefix>doc:<id>` | hash | one document, by the short fields below |
| `<prefix>batch:<id>` | hash | its counts (total, left, succeeded, ..., error:<code>), times, and kind of lane |
| `<prefix>settled:<batch>` | list | document ids, in the order they were settled; once more after each retry |
| `<prefix>batches` | sorted set | batch ids by the time they were last opened |
| `<prefix>open:<queue>` | sorted set | open documents, waiting or running, in the order in which they are sent |
| `<prefix>running:<queue>` | hash | documents (and plain tasks) that workers are working on: id to worker |
| `<prefix>ending:<queue>` | hash | the same of workers that are being stopped: they need no replica |
| `<prefix>due:<queue>` | sorted set | documents that pause before a retry, by the time it is due |
| `<prefix>lanes:<queue>` | hash | the clock of the queue's fair order, and the end of each batch's lane in it |
| `<prefix>workers:<queue>` | hash | live workers: the time of their last report, and the documents in progress |
| `<prefix>taken:<queue>:<worker>` | list | messages that a worker took from the queue and has not started |
| `<prefix>templates` | hash | the message of each queue, cut where a document's id stands |
| `<prefix>service:<queue>` | string | service times: the sums and the histogram that record.py describes |
| `<prefix>events` | stream | the latest events: opened, advanced, settled, retried, quarantined (events.py) |
| `<prefix>quarantine` | sorted set | quarantined documents by time |
| `<prefix>counts` | hash | messages resent and returned; passes that ended no document; archived documents |
| `<prefix>archive` | string | the archiver's lease |
| `<prefix>beat:*` | several | beat's schedule and its lock (RedBeat's) |
| `<queue>` | list | the window: messages of the documents that are next (kombu's queue) |

A document's fields are short, since there are many documents: `b` batch, `n` name of its source, `q` queue, `o` opened,
`s` initial of its state (none: queued), `a` attempts, `A` attempts in earlier queues, `t` started, `x` started again,
`v` advanced, `f` finished, `e` and `m` code and message of the (last) error, `c` retries, `i` interruptions,
`p` options, `r` kinds of results (none: all), `y` summary, `z` who settled it, `k` kept for the
quarantine. Times are in microseconds since the epoch.

The archive takes documents from the head of a batch's list of settled ones; `trimmed` counts the places that left it. A
document in the quarantine keeps its entry then; the batch counts it in `kept`.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Keys:
    """The keys that begin with `prefix`."""

    prefix: str

    def document(self, document_id: str) -> str:
        """Hash of one document."""
        return f"{self.prefix}doc:{document_id}"

    def batch(self, batch_id: str) -> str:
        """Hash of one batch's counts."""
        return f"{self.prefix}batch:{batch_id}"

    def settled(self, batch_id: str) -> str:
        """List of a batch's settled documents."""
        return f"{self.prefix}settled:{batch_id}"

    @property
    def batches(self) -> str:
        """Sorted set of the batches."""
        return f"{self.prefix}batches"

    def open(self, queue: str) -> str:
        """Sorted set of a queue's open documents."""
        return f"{self.prefix}open:{queue}"

    def running(self, queue: str) -> str:
        """Hash of the documents and plain tasks that a queue's workers are working on."""
        return f"{self.prefix}running:{queue}"

    def ending(self, queue: str) -> str:
        """Hash of the documents of workers that are being stopped."""
        return f"{self.prefix}ending:{queue}"

    def due(self, queue: str) -> str:
        """Sorted set of the documents that pause before a retry."""
        return f"{self.prefix}due:{queue}"

    def workers(self, queue: str) -> str:
        """Hash of a queue's workers."""
        return f"{self.prefix}workers:{queue}"

    def taken(self, queue: str, worker: str) -> str:
        """List of the messages that a worker took and has not started."""
        return f"{self.prefix}taken:{queue}:{worker}"

    def service(self, queue: str) -> str:
        """String of a queue's service times."""
        return f"{self.prefix}service:{queue}"

    @property
    def events(self) -> str:
        """Stream of the latest events."""
        return f"{self.prefix}events"

    @property
    def quarantine(self) -> str:
        """Sorted set of the quarantined documents."""
        return f"{self.prefix}quarantine"

    @property
    def counts(self) -> str:
        """Hash of the fleet's counters."""
        return f"{self.prefix}counts"

    @property
    def archive(self) -> str:
        """The archiver's lease."""
        return f"{self.prefix}archive"
