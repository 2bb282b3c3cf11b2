"""Every Redis key of the ledger, under one prefix.

| key | type | holds |
| --- | --- | --- |
| `<prefix>doc:<id>` | hash | one document: state, queue, attempts, times, error, results, summary |
| `<prefix>batch:<id>` | hash | a batch's counts: total, succeeded, failed, quarantined, duplicates, error:<code> |
| `<prefix>batch-documents:<id>` | list | the batch's document ids, in the order they were opened |
| `<prefix>settled:<batch>` | list | document ids, in the order they were settled |
| `<prefix>batches` | sorted set | batch ids by the time they were last opened |
| `<prefix>open:<queue>` | sorted set | open documents of the queue, by the time they were sent |
| `<prefix>quarantine` | sorted set | quarantined documents by time |
| `<prefix>counts` | hash | finished passes by queue; messages that the reconciler resent and requeued |
| `<prefix>missing:<queue>` | set | documents whose message the last reconciliation did not find |
| `<prefix>worker:<name>` | string | documents that a live worker has in progress; expires when it stops reporting |
| `<prefix>beat:*` | several | beat's schedule and its lock (RedBeat's) |
| `<prefix>inflight:<queue>` | hash | messages delivered and not yet acknowledged (kombu's unacked hash) |
| `<prefix>inflight-index:<queue>` | sorted set | the delivery tags of these messages, by the time of delivery |
| `<queue>` | list | messages waiting (kombu's queue) |
"""

from dataclasses import dataclass

from app.queues import inflight_index_key, inflight_key


@dataclass(frozen=True)
class Keys:
    """The ledger's keys, built from `prefix` and an id or a name."""

    prefix: str

    @property
    def document_prefix(self) -> str:
        """Prefix of every document's key."""
        return f"{self.prefix}doc:"

    def document(self, document_id: str) -> str:
        """Hash of one document."""
        return f"{self.document_prefix}{document_id}"

    def batch(self, batch_id: str) -> str:
        """Hash of one batch's counts."""
        return f"{self.prefix}batch:{batch_id}"

    def batch_documents(self, batch_id: str) -> str:
        """List of a batch's documents."""
        return f"{self.prefix}batch-documents:{batch_id}"

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

    @property
    def quarantine(self) -> str:
        """Sorted set of the quarantined documents."""
        return f"{self.prefix}quarantine"

    @property
    def counts(self) -> str:
        """Hash of the fleet's counts."""
        return f"{self.prefix}counts"

    def missing(self, queue: str) -> str:
        """Set of the documents whose message the last reconciliation did not find."""
        return f"{self.prefix}missing:{queue}"

    def worker(self, name: str) -> str:
        """String with the documents that a live worker has in progress."""
        return f"{self.prefix}worker:{name}"

    def inflight(self, queue: str) -> str:
        """Hash of the messages in flight."""
        return inflight_key(queue, self.prefix)

    def inflight_index(self, queue: str) -> str:
        """Sorted set of the messages in flight, by the time of their delivery."""
        return inflight_index_key(queue, self.prefix)
