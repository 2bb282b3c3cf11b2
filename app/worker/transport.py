"""kombu's Redis transport with four changes; kombu itself understands its messages.

One client per channel: kombu creates a new Redis client for each message that it receives and for each that it
acknowledges, which costs 0.3 ms of CPU per document. All clients share the channel's pool of connections.

Deferred in-flight records: the ledger records a document's message in the in-flight hash in the step that counts the
attempt, a moment after the delivery. If the message is requeued before that, the transport records it first.

No second acknowledgement: if the ledger acknowledged a message in the step that settled its document, the transport
only frees its prefetch slot.

Acknowledgements with retries: if the server is away at the moment of an acknowledgement, kombu logs that and still
counts the message as in progress. A worker with one message at a time then never receives another; as it no longer
listens, it does not notice that the server is back.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from kombu.transport import redis, virtual
from redis.retry import Retry

from app.ledger.connection import RETRIED, RETRIES, backoff
from app.ledger.message import Delivery, inflight_entry
from app.queues import DOCUMENT_TASKS

DELIVERY = "delivery"
"""The property of a received message that holds its `Delivery`; it is never sent."""
_DOCUMENT_TASKS = frozenset(DOCUMENT_TASKS.values())


class QoS(redis.QoS):  # type: ignore[misc]  # kombu carries no types
    """The unacknowledged messages of a channel; each document's has a `Delivery` among its properties."""

    def append(self, message: Any, delivery_tag: str) -> None:
        """Add a received message, and record it as in flight unless the ledger will."""
        headers = message.headers or {}
        if headers.get("task") not in _DOCUMENT_TASKS:
            super().append(message, delivery_tag)
            return
        route = message.delivery_info
        entry = inflight_entry(message._raw, route["exchange"], route["routing_key"])  # noqa: SLF001
        delivery = Delivery(delivery_tag, entry)
        if headers.get("eta"):  # its start may be a long time away
            super().append(message, delivery_tag)
            delivery.recorded = True
        else:
            virtual.QoS.append(self, message, delivery_tag)
        message.properties = {**message.properties, DELIVERY: delivery}

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge a message; both steps may be repeated."""
        delivery = self._delivery(delivery_tag)
        if delivery is not None and (delivery.acknowledged or not delivery.recorded):
            virtual.QoS.ack(self, delivery_tag)  # the in-flight hash does not hold it
            return
        self._with_retries(delivery_tag, super().ack)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:  # as kombu calls it
        """Requeue a message, or drop it."""
        self._with_retries(delivery_tag, partial(super().reject, requeue=requeue))

    def restore_by_tag(
        self, tag: str, client: Any = None, leftmost: bool = False
    ) -> None:  # as kombu calls it
        """Requeue a message through the in-flight hash."""
        delivery = self._delivery(tag)
        if delivery is not None and not delivery.recorded:
            with self.pipe_or_acquire(client=client) as pipe:
                pipe.zadd(self.unacked_index_key, {tag: time.time()})
                pipe.hset(self.unacked_key, tag, delivery.entry)
                pipe.execute()
            delivery.recorded = True
        super().restore_by_tag(tag, client=client, leftmost=leftmost)

    def _delivery(self, tag: str) -> Delivery | None:
        """Return the `Delivery` of a document's unacknowledged message; None for another message."""
        message = self._delivered.get(tag)
        return None if message is None else message.properties.get(DELIVERY)

    def _with_retries(self, delivery_tag: str, step: Callable[[str], None]) -> None:
        retry = Retry(backoff(), RETRIES, supported_errors=RETRIED)
        try:
            retry.call_with_retry(lambda: step(delivery_tag), lambda _error: None)
        except Exception:
            # The reconciler mends the message, whether the in-flight hash still holds it or not.
            virtual.QoS.ack(self, delivery_tag)
            raise


class Channel(redis.Channel):  # type: ignore[misc]  # kombu carries no types
    """A channel that keeps one client as long as it has the same pool of connections."""

    QoS = QoS
    _kept: Any = None

    @contextmanager
    def conn_or_acquire(self, client: Any = None) -> Iterator[Any]:
        """Yield `client`, or the channel's own."""
        if client is None:
            client = self._kept
            # After it lost its server, a channel has a new pool.
            if client is None or client.connection_pool is not self.pool:
                with super().conn_or_acquire() as client:
                    self._kept = client
        yield client


class Transport(redis.Transport):  # type: ignore[misc]  # kombu carries no types
    """The transport of the fleet's workers."""

    Channel = Channel
