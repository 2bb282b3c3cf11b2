"""What is new in a fleet whose Redis is elsewhere, again and again: what `fleet status --follow` prints."""

import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from app.client.news import Away, BatchNews, Line, News, QueueNews
from app.client.records import document_record
from app.config import Settings, settings
from app.errors import ServerError, ServerRefusedError, UsageError
from app.ledger.connection import masked
from app.ledger.ledger import Ledger
from app.ledger.models import BatchCounts
from app.ledger.reader import Reader, decode_batch
from app.queues import Queue

LINE_SECONDS = 1.0
MOST_BATCHES = 1_000
"""Batches followed from the start: the newest that have something open."""
PAGE = 2_000
"""Documents told of in one line, over all batches; what is more comes in the next, which comes at once."""
OVERLAP_SECONDS = 60.0
"""How far the clocks of two senders may be apart without a new batch being overlooked."""
REMEMBERED = 64
SKEW_SECONDS = 5.0
"""How far the clocks of workers may be from that of whoever says since when he was away."""


@dataclass
class _Followed:
    """A batch, and how much of its list of settled documents has been told."""

    told: int = 0
    last: deque[str] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    """The ids told last, by which the place is found again when a retry took some off the list."""
    counts: BatchCounts | None = None


class Tail:
    """Tells what was settled since the last look; two or three round trips to the server each.

    A batch is followed while it has something open, or something in quarantine that may be sent again. What is
    sent again out of the quarantine and settled a second time, all between two looks, is told of once.

    Args:
        reader: Where to look.
        batch_id: The one batch to follow, from its first document on; None: all that is settled from now on.
        since: Settled from when on instead, in seconds since the epoch; a few that were settled before it may be
            told as well, as clocks differ.

    Its methods raise redis errors where the server is away; what the last look returned is not told again.
    """

    def __init__(self, reader: Reader, batch_id: str | None = None, *, since: float | None = None) -> None:
        self.reader = reader
        self._only = batch_id
        self._from = since
        self._followed: dict[str, _Followed] = {}
        self._recent: dict[str, tuple[float, _Followed]] = {}
        """Batches of the last minute, each with when a document was last opened in it."""
        self._since: float | None = None
        self._settled = 0
        self._failed: Counter[str] = Counter()
        if batch_id is not None:
            self._followed[batch_id] = _Followed()

    def look(self) -> News:
        """Return the fleet as it is, and what was settled since the last look.

        Raises:
            UsageError: where there is no such batch.
        """
        if self._only is None and self._since is None:
            self._begin()
        depths = self.reader.depths(list(Queue))
        fresh, emptied = self._read()
        ids = [document_id for found in fresh.values() for document_id in found]
        documents = self.reader.documents(ids) if ids else []
        # Nothing fails from here on: what is told now is remembered as told.
        records = [document_record(document) for document in documents if document is not None]
        for batch_id, found in fresh.items():
            self._followed[batch_id].told += len(found)
            self._followed[batch_id].last.extend(found)
        self._settled += len(ids)
        self._failed.update(record.error for record in records if record.error)
        batches = [_news(followed.counts) for followed in self._followed.values() if followed.counts]
        if self._only is None:
            for batch_id in emptied:
                del self._followed[batch_id]
        queues = {
            queue.value: QueueNews(
                waiting=depth.waiting,
                running=depth.inflight,
                done=depth.done,
                oldest_wait_seconds=round(depth.oldest_wait_seconds, 3),
            )
            for queue, depth in depths.items()
        }
        return News(
            time=self.reader.clock(),
            queues=queues,
            batches=batches,
            open=sum(batch.total - batch.settled for batch in batches),
            settled=self._settled,
            failed=dict(self._failed),
            documents=records,
            more=any(len(found) == self._page for found in fresh.values()),
        )

    @property
    def _page(self) -> int:
        return max(10, PAGE // max(len(self._followed), 1))

    def _begin(self) -> None:
        """Take note of what there is, so that only what is new is told."""
        client, keys = self.reader.client, self.reader.keys
        listed = client.zrange(keys.batches, 0, MOST_BATCHES - 1, desc=True, withscores=True)
        with client.pipeline(transaction=False) as pipe:
            for batch_id, _ in listed:
                pipe.hgetall(keys.batch(batch_id))
                pipe.llen(keys.settled(batch_id))
                pipe.lrange(keys.settled(batch_id), -REMEMBERED, -1)
            replies = pipe.execute()
        newest = max((score for _, score in listed), default=0.0)
        for position, (batch_id, score) in enumerate(listed):
            fields, told, last = replies[3 * position : 3 * position + 3]
            known = _Followed(told, deque(last, maxlen=REMEMBERED), decode_batch(batch_id, fields))
            if self._from is not None:
                self._go_back(batch_id, known, self._from - SKEW_SECONDS)
            if score >= newest - OVERLAP_SECONDS:
                self._recent[batch_id] = (score, known)
            if known.told < told or not _over(known):
                self._followed[batch_id] = known
        self._since = newest

    def _go_back(self, batch_id: str, followed: _Followed, since: float) -> None:
        """Count what was settled from `since` on as not told."""
        client, keys = self.reader.client, self.reader.keys
        if followed.counts is not None and (followed.counts.finished or since) < since:
            return
        while followed.told:
            start = max(0, followed.told - PAGE)
            ids = client.lrange(keys.settled(batch_id), start, followed.told - 1)
            with client.pipeline(transaction=False) as pipe:
                for document_id in ids:
                    pipe.hget(keys.document(document_id), "finished")
                times = pipe.execute()
            before = [place for place, at in enumerate(times) if at is None or float(at) < since]
            followed.told = start + before[-1] + 1 if before else start
            if before:
                ids = ids[: before[-1] + 1]
                followed.last = deque(ids, maxlen=REMEMBERED)
                return
        followed.last.clear()

    def _read(self) -> tuple[dict[str, list[str]], list[str]]:
        """Return what each batch has settled since it was told of, and the batches that are over and told."""
        client, keys, page = self.reader.client, self.reader.keys, self._page
        with client.pipeline(transaction=False) as pipe:
            for batch_id, followed in self._followed.items():
                pipe.hgetall(keys.batch(batch_id))
                start = max(followed.told - 1, 0)
                pipe.lrange(keys.settled(batch_id), start, followed.told + page - 1)
            if self._since is not None:
                oldest = self._since - OVERLAP_SECONDS
                pipe.zrange(keys.batches, oldest, "+inf", byscore=True, withscores=True)
            replies = pipe.execute()
        fresh, emptied = {}, []
        for position, (batch_id, followed) in enumerate(self._followed.items()):
            fields, found = replies[2 * position : 2 * position + 2]
            followed.counts = decode_batch(batch_id, fields)
            if self._only is not None and not followed.counts.total:
                raise UsageError(f"There is no batch {batch_id}: `fleet status` lists those that there are.")
            if followed.told:
                in_place = bool(followed.last) and found[:1] == [followed.last[-1]]
                found = found[1:] if in_place else self._found_again(batch_id, followed)
            fresh[batch_id] = found
            if _over(followed) and not found:
                emptied.append(batch_id)
        if self._since is not None:
            self._take_new(replies[-1])
        return fresh, emptied

    def _found_again(self, batch_id: str, followed: _Followed) -> list[str]:
        """Return what is new in a list that a retry out of the quarantine took something off."""
        key = self.reader.keys.settled(batch_id)
        with self.reader.client.pipeline(transaction=False) as pipe:
            for document_id in followed.last:
                pipe.lpos(key, document_id)
            pipe.llen(key)
            *places, length = pipe.execute()
        left = [
            (place, known) for place, known in zip(places, followed.last, strict=True) if place is not None
        ]
        followed.told = max((place + 1 for place, _ in left), default=length)
        followed.last = deque((known for _, known in left), maxlen=REMEMBERED)
        if not left:
            followed.told = length
            followed.last.extend(self.reader.client.lrange(key, -REMEMBERED, -1))
            return []
        return list(self.reader.client.lrange(key, followed.told, followed.told + self._page - 1))

    def _take_new(self, listed: list[tuple[str, float]]) -> None:
        recent: dict[str, tuple[float, _Followed]] = {}
        for batch_id, score in listed:
            before, known = self._recent.get(batch_id, (None, self._followed.get(batch_id) or _Followed()))
            recent[batch_id] = (score, known)
            if before != score:
                self._followed.setdefault(batch_id, known)
        self._since = max((score for _, score in listed), default=self._since)
        self._recent = recent


def follow(
    batch_id: str | None = None, *, since: float | None = None, until: threading.Event | None = None
) -> Iterator[Line]:
    """Yield a line a second about the fleet that FLEET_REDIS_URL names.

    Args:
        batch_id: As for `Tail`.
        since: As for `Tail`.
        until: Ends it when it is set; None: only a signal does.

    Raises:
        SettingsError: where no server is named.
        ServerError: where none answers, or it stays away for longer than FLEET_SERVER_PATIENCE_SECONDS.
        UsageError: where there is no such batch.
    """
    config = settings()
    ledger = Ledger.of(config, retries=0)
    ledger.client.ping()
    tail = Tail(ledger, batch_id, since=since)
    away_since: float | None = None
    ended = until or threading.Event()
    while not ended.is_set():
        began = time.monotonic()
        line: Line
        try:
            line = tail.look()
            away_since = None
        except ServerRefusedError:
            raise
        except ServerError as error:
            away_since = away_since or began
            _stay_or_raise(config, error, began - away_since)
            line = Away(time=time.time(), message=str(error.__cause__))
        yield line
        if not (isinstance(line, News) and line.more):
            ended.wait(max(0.0, LINE_SECONDS - (time.monotonic() - began)))


def _stay_or_raise(config: Settings, error: ServerError, away_seconds: float) -> None:
    if away_seconds > config.server_patience_seconds:
        raise ServerError(
            f"The Redis server at {masked(config.redis_url)} went away and has not come back for "
            f"{config.server_patience_seconds:g} s ({error.__cause__}): start it, and follow again."
        )


def _news(counts: BatchCounts) -> BatchNews:
    return BatchNews(
        batch_id=counts.batch_id,
        total=counts.total,
        settled=counts.settled,
        failed=counts.failed + counts.quarantined,
        duplicates=counts.duplicates,
    )


def _over(followed: _Followed) -> bool:
    counts = followed.counts
    return counts is not None and (not counts.total or (counts.done and not counts.quarantined))
