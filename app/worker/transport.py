"""kombu's Redis transport with an atomic take; the messages on the wire are kombu's.

Atomic take: kombu takes a message by BRPOP and records it in a hash by a later command, so a worker that dies between
the two takes the message with it. Here BLMOVE moves the message from the queue into the worker's own list. The ledger's
step `start` removes a document's message from there; any other stays until it is acknowledged. The reconciler puts the
messages of a worker that is gone back onto the queue, so no visibility timeout is needed.

One client per channel: kombu makes a new redis client for each message that it receives and for each that it
acknowledges, which costs 0.3 ms of CPU a document. A client takes its connections from the channel's pool in any case.

Acknowledgements with retries: if the server is away at the moment of an acknowledgement, kombu logs that and keeps the
message counted as in progress. A worker with one message at a time then never gets another, and as it no longer
listens, it never learns that the server is back.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty
from typing import Any

from kombu.transport import redis, virtual
from kombu.utils.json import dumps, loads
from redis.exceptions import OutOfMemoryError
from redis.retry import Retry

from app.ledger.connection import RETRIED, RETRIES, backoff
from app.ledger.message import Delivery, redelivered
from app.ledger.steps import source
from app.queues import DOCUMENT_TASKS

DELIVERY = "delivery"
"""The property of a received message that holds its `Delivery`; it is never sent."""
FULL_PAUSE_SECONDS = 0.5
"""Pause after a look at the empty queue of a server without memory, on which no take can wait for a message."""
_DOCUMENT_TASKS = frozenset(DOCUMENT_TASKS.values())


class QoS(redis.QoS):  # type: ignore[misc]  # kombu carries no types
    """The unacknowledged messages of a channel; each has a `Delivery` among its properties."""

    def append(self, message: Any, delivery_tag: str) -> None:
        """Add a received message; one that is no document's counts as running from here on."""
        virtual.QoS.append(self, message, delivery_tag)
        if (message.headers or {}).get("task") not in _DOCUMENT_TASKS:
            self.channel.step("hold", delivery_tag, self.channel.worker)

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge a message; the step may be repeated."""
        self._finish(delivery_tag, requeue=False)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:  # as kombu calls it
        """Requeue a message, next in line, or drop it."""
        self._finish(delivery_tag, requeue=requeue)

    def restore_unacked(self, client: Any = None) -> None:  # noqa: ARG002  # as kombu calls it
        """Requeue every message that is not acknowledged."""
        for delivery_tag in list(self._delivered):
            self._finish(delivery_tag, requeue=True)

    def restore_visible(self, *_: Any, **__: Any) -> None:
        """Do nothing: the reconciler returns the messages of a worker that is gone."""

    def _finish(self, delivery_tag: str, *, requeue: bool) -> None:
        message = self._delivered.get(delivery_tag)
        delivery: Delivery | None = None if message is None else message.properties.get(DELIVERY)
        # The message of a started document is gone from the worker's list: the ledger decides what becomes of it.
        if delivery is not None and not delivery.started:
            self._with_retries(delivery_tag, lambda: self._leave(delivery_tag, delivery, requeue=requeue))
        virtual.QoS.ack(self, delivery_tag)

    def _leave(self, delivery_tag: str, delivery: Delivery, *, requeue: bool) -> None:
        again = redelivered(delivery.message) if requeue else ""
        self.channel.step("leave", delivery.taken, delivery.message, delivery_tag, again, "")

    def _with_retries(self, delivery_tag: str, step: Callable[[], None]) -> None:
        retry = Retry(backoff(), RETRIES, supported_errors=RETRIED)
        try:
            retry.call_with_retry(step, lambda _error: None)
        except Exception:
            # The message stays in the worker's list, and is returned before the next take.
            self.channel._unsure = True  # noqa: SLF001
            virtual.QoS.ack(self, delivery_tag)
            raise


class Channel(redis.Channel):  # type: ignore[misc]  # kombu carries no types
    """A channel that takes the messages of one queue into the list of one worker, and keeps its client."""

    QoS = QoS
    queue = ""
    worker = ""
    key_prefix = ""
    taken_key = ""
    presence_seconds = 30.0
    from_transport_options = (
        *redis.Channel.from_transport_options,
        *("queue", "worker", "key_prefix", "taken_key", "presence_seconds"),
    )
    _kept: Any = None
    _reported = float("-inf")
    _not_before = float("-inf")
    _unsure = True
    """Whether the worker's list may hold a message that this channel did not deliver."""

    @contextmanager
    def conn_or_acquire(self, client: Any = None) -> Iterator[Any]:
        """Yield `client`, or the channel's own."""
        if client is None:
            client = self._kept
            # A channel that lost its server has a new pool afterwards.
            if client is None or client.connection_pool is not self.pool:
                with super().conn_or_acquire() as client:
                    self._kept = client
        yield client

    def step(self, name: str, *args: Any) -> Any:
        """Run one of the ledger's steps on this channel's queue."""
        with self.conn_or_acquire() as client:
            return client.register_script(source(name))(args=(self.key_prefix, self.queue, *args))

    def _put(self, queue: str, message: Any, **options: Any) -> None:
        """Put a message onto a queue; on a server that has no memory left, too: its task may be to make room."""
        try:
            super()._put(queue, message, **options)
        except OutOfMemoryError:
            with self.conn_or_acquire() as client:
                client.register_script(source("put"))(args=("", queue, dumps(message)))

    def _brpop_start(self, timeout: float | None = None) -> None:
        """Ask for the next message; kombu's own way for the other queues, such as those of replies."""
        if self.queue not in self.active_queues:
            super()._brpop_start(timeout)
            return
        now = time.monotonic()
        if now < self._not_before:
            return
        # A worker that was frozen may count as gone: it must be known again before it takes a message.
        if now - self._reported > self.presence_seconds / 3:
            self.step("report", self.worker)
        self._reported = now
        if self._unsure:
            self._return_undelivered()
        self._in_poll = self.client.connection
        self._unsure = True
        self._brpop_sent_at = now
        wait = self.brpop_timeout if timeout is None else timeout
        self.client.connection.send_command("BLMOVE", self.queue, self.taken_key, "RIGHT", "LEFT", wait or 0)

    def _brpop_read(self, **options: Any) -> bool:
        """Read the reply, and deliver the message."""
        if self.queue not in self.active_queues:
            return bool(super()._brpop_read(**options))
        try:
            try:
                item = self.client.parse_response(self.client.connection, "BLMOVE", **options)
            except self.connection_errors:
                self.client.connection.disconnect()
                raise
            except OutOfMemoryError:
                item = self._take_from_full_server()
            self._unsure = False
            if item is None:
                raise Empty
            content = loads(item)
            content["properties"][DELIVERY] = Delivery(item, self.worker, self.taken_key)
            self.connection._deliver(content, self.queue)  # noqa: SLF001  # as kombu does
            return True
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()

    def _return_undelivered(self) -> None:
        """Return the messages that the server moved into the worker's list, and whose replies were lost."""
        delivered = {message.properties[DELIVERY].message for message in self.qos._delivered.values()}  # noqa: SLF001
        with self.conn_or_acquire() as client:
            taken = client.lrange(self.taken_key, 0, -1)
        for message in taken:
            if message not in delivered:
                self.step("leave", self.taken_key, message, "", redelivered(message), "")

    def _take_from_full_server(self) -> bytes | None:
        """Take the next message from a server that has no memory left, which refuses BLMOVE."""
        taken: bytes | None = self.step("take", self.taken_key)
        if taken is None:
            self._not_before = time.monotonic() + FULL_PAUSE_SECONDS
        return taken


class Transport(redis.Transport):  # type: ignore[misc]  # kombu carries no types
    """The transport of the fleet's workers."""

    Channel = Channel
