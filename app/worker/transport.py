"""kombu's Redis transport, changed in four places; on the wire it is the same.

One client a channel: kombu makes a new redis client for every message that it takes and again for every one that
it acknowledges, which is 0.3 ms of a worker's CPU time a document; a client takes its connections from the
channel's pool in any case.

Notes that can wait: where the work runs in the process that takes the messages, a message about a document is noted
in the in-flight hash by the ledger, in the step that counts the attempt, a moment after it was taken. What happens to
it before that (it is given back, the worker ends) has it noted first.

No second acknowledgement: a message that the ledger acknowledged with its settlement is only forgotten here.

Patient acknowledgements: where the server is away at the moment of an acknowledgement, kombu logs that and keeps
the message counted as in hand. A worker that takes one message at a time then never takes another, and as it no
longer listens, it never learns that the server is back.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import msgspec
from kombu.transport import redis, virtual
from redis.exceptions import BusyLoadingError, ConnectionError, TimeoutError  # noqa: A004
from redis.retry import Retry

from app.ledger.connection import RETRIES, backoff
from app.queues import DOCUMENT_TASKS

_DOCUMENT_TASKS = frozenset(DOCUMENT_TASKS.values())

_acknowledged: set[str] = set()
_unnoted: dict[str, bytes] = {}
_deferring = False


def defer_notes() -> None:
    """From now on, leave it to the ledger to note the messages about documents that this process takes."""
    global _deferring  # noqa: PLW0603  # one worker a process
    _deferring = True


def unnoted(delivery_tag: str) -> bytes:
    """Return a message as the in-flight hash is to hold it; empty where it does already."""
    return _unnoted.get(delivery_tag, b"")


def noted(delivery_tag: str) -> None:
    """Take note that a message stands in the in-flight hash: the ledger noted it as it started its document."""
    _unnoted.pop(delivery_tag, None)


def acknowledged(delivery_tag: str) -> None:
    """Take note that a message has left the in-flight hash: the ledger took it out as it settled its document."""
    _acknowledged.add(delivery_tag)


class QoS(redis.QoS):  # type: ignore[misc]  # kombu carries no types
    """Acknowledges and rejects with patience, and frees the message's place in any case."""

    def append(self, message: Any, delivery_tag: str) -> None:
        """Count a message as in hand, and note it as in flight."""
        headers = message.headers or {}
        if not _deferring or headers.get("task") not in _DOCUMENT_TASKS or headers.get("eta"):
            # Another task, which no ledger notes, or one that may stay for long before it begins.
            super().append(message, delivery_tag)
            return
        route = message.delivery_info
        _unnoted[delivery_tag] = msgspec.json.encode([message._raw, route["exchange"], route["routing_key"]])  # noqa: SLF001
        virtual.QoS.append(self, message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge a message; both steps may be repeated."""
        if _unnoted.pop(delivery_tag, None) is not None or delivery_tag in _acknowledged:
            _acknowledged.discard(delivery_tag)
            virtual.QoS.ack(self, delivery_tag)
            return
        self._patiently(delivery_tag, super().ack)

    def restore_by_tag(
        self, tag: str, client: Any = None, leftmost: bool = False
    ) -> None:  # as kombu calls it
        """Give a message back to its queue."""
        waiting = _unnoted.get(tag)
        if waiting is not None:
            with self.pipe_or_acquire(client=client) as pipe:
                pipe.zadd(self.unacked_index_key, {tag: time.time()}).hset(
                    self.unacked_key, tag, waiting
                ).execute()
            noted(tag)
        super().restore_by_tag(tag, client=client, leftmost=leftmost)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:  # as kombu calls it
        """Give a message back to its queue, or drop it."""
        if not requeue:
            _unnoted.pop(delivery_tag, None)
        self._patiently(delivery_tag, partial(super().reject, requeue=requeue))

    def _patiently(self, delivery_tag: str, step: Callable[[str], None]) -> None:
        retry = Retry(backoff(), RETRIES, supported_errors=(ConnectionError, TimeoutError, BusyLoadingError))
        try:
            retry.call_with_retry(lambda: step(delivery_tag), lambda _error: None)
        except Exception:
            # What is left in the in-flight hash, or not even there, is the reconciler's to judge.
            _unnoted.pop(delivery_tag, None)
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
