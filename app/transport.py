"""kombu's Redis transport, changed in three places; on the wire it is the same.

One client a channel: kombu makes a new redis client for every message that it takes and again for every one that
it acknowledges, which is 0.3 ms of a worker's CPU time a document; a client takes its connections from the
channel's pool in any case.

No second acknowledgement: a message that the ledger acknowledged with its settlement is only forgotten here.

Patient acknowledgements: where the server is away at the moment of an acknowledgement, kombu logs that and keeps
the message counted as in hand. A worker that takes one message at a time then never takes another, and as it no
longer listens, it never learns that the server is back.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from kombu.transport import redis, virtual
from redis.exceptions import BusyLoadingError, ConnectionError, TimeoutError  # noqa: A004
from redis.retry import Retry

from app.ledger.connection import RETRIES, backoff

_acknowledged: set[str] = set()


def acknowledged(delivery_tag: str) -> None:
    """Take note that a message has left the in-flight hash: the ledger took it out as it settled its document."""
    _acknowledged.add(delivery_tag)


class QoS(redis.QoS):  # type: ignore[misc]  # kombu carries no types
    """Acknowledges and rejects with patience, and frees the message's place in any case."""

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge a message; both steps may be repeated."""
        if delivery_tag in _acknowledged:
            _acknowledged.discard(delivery_tag)
            virtual.QoS.ack(self, delivery_tag)
            return
        self._patiently(delivery_tag, super().ack)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:  # as kombu calls it
        """Give a message back to its queue, or drop it."""
        self._patiently(delivery_tag, partial(super().reject, requeue=requeue))

    def _patiently(self, delivery_tag: str, step: Callable[[str], None]) -> None:
        retry = Retry(backoff(), RETRIES, supported_errors=(ConnectionError, TimeoutError, BusyLoadingError))
        try:
            retry.call_with_retry(lambda: step(delivery_tag), lambda _error: None)
        except Exception:
            # What is left in the in-flight hash is the reconciler's to judge.
            virtual.QoS.ack(self, delivery_tag)
            raise


class Channel(redis.Channel):  # type: ignore[misc]  # kombu carries no types
    """A channel that keeps its client for as long as it keeps its pool of connections."""

    QoS = QoS
    _kept: Any = None

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


class Transport(redis.Transport):  # type: ignore[misc]  # kombu carries no types
    """The transport of the fleet's own workers; on the wire it is kombu's."""

    Channel = Channel
