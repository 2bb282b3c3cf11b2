"""News of a remote fleet, a line per second: the source of `fleet status --follow`."""

import re
import threading
import time
from collections import Counter
from collections.abc import Iterator

from app.client.connect import connect
from app.client.news import Away, BatchNews, Line, News, QueueNews
from app.client.records import document_record
from app.errors import ServerError, ServerRefusedError, UsageError
from app.ledger.connection import masked
from app.ledger.events import position_at
from app.ledger.follow import BatchFollower, FleetFollower
from app.ledger.models import BatchCounts
from app.ledger.reader import Reader
from app.queues import Queue

LINE_SECONDS = 1.0
POSITION = re.compile(r"\d{1,12}(\.\d+)?|\d{1,19}-\d{1,19}")
"""Valid values of `since`."""


class NewsFeed:
    """The news of a fleet.

    Args:
        reader: Reads the ledger.
        batch_id: The only batch to follow, from its first document on; None: all documents settled from `since` on.
        since: Time in seconds since the epoch, or `News.position`; None: now.
    """

    def __init__(self, reader: Reader, batch_id: str | None = None, *, since: str | None = None) -> None:
        self._reader = reader
        self._only = batch_id
        self._follower: BatchFollower | FleetFollower
        if batch_id is not None:
            self._follower = BatchFollower(reader, batch_id)
        else:
            at = since if since is None or "-" in since else position_at(float(since))
            self._follower = FleetFollower(reader, at)
        self._settled = 0
        self._failed: Counter[str] = Counter()

    def poll(self) -> News:
        """Return the state of the fleet and the documents settled since the previous poll.

        Raises:
            UsageError: there is no such batch.
            ServerError: the server does not answer; the next poll reports what this one would have.
        """
        depths = self._reader.depths(list(Queue))
        settled = self._follower.poll()
        if self._only is not None:
            require_batch(*settled.batches)
        records = [document_record(document) for document in settled.documents]
        self._settled += len(settled.documents)
        self._failed.update(record.error for record in records if record.error)
        queues = {
            queue.value: QueueNews(
                waiting=depth.waiting,
                running=depth.running,
                done=depth.done,
                oldest_wait_seconds=round(depth.oldest_wait_seconds, 3),
            )
            for queue, depth in depths.items()
        }
        return News(
            time=self._reader.clock(),
            queues=queues,
            batches=[
                BatchNews(
                    batch_id=batch.batch_id,
                    total=batch.total,
                    settled=batch.settled,
                    failed=batch.failed + batch.quarantined,
                    duplicates=batch.duplicates,
                )
                for batch in settled.batches
            ],
            open=sum(batch.total - batch.settled for batch in settled.batches),
            settled=self._settled,
            failed=dict(self._failed),
            documents=records,
            more=settled.more,
            missed=settled.missed,
            position=settled.position,
        )


def follow(
    batch_id: str | None = None, *, since: str | None = None, until: threading.Event | None = None
) -> Iterator[Line]:
    """Yield one line per second about the fleet that FLEET_REDIS_URL names.

    Args:
        batch_id: As for `NewsFeed`.
        since: As for `NewsFeed`.
        until: Ends the lines when it is set; None: they never end.

    Raises:
        SettingsError: FLEET_REDIS_URL is missing or cannot be used.
        ServerError: the server does not answer, or stays away for longer than FLEET_SERVER_TIMEOUT_SECONDS.
        UsageError: there is no such batch.
    """
    ledger = connect(retries=0)
    feed = NewsFeed(ledger, batch_id, since=since)
    timeout = ledger.config.server_timeout_seconds
    away_since: float | None = None
    ended = until or threading.Event()
    while not ended.is_set():
        began = time.monotonic()
        line: Line
        try:
            line = feed.poll()
            away_since = None
        except ServerRefusedError:
            raise
        except ServerError as error:
            away_since = away_since or began
            if began - away_since > timeout:
                raise ServerError(
                    f"The Redis server at {masked(ledger.config.redis_url)} went away and has not come back for "
                    f"{timeout:g} s ({error.__cause__}): start it, then run the command again."
                ) from None
            line = Away(time=time.time(), message=str(error.__cause__))
        yield line
        if not (isinstance(line, News) and line.more):
            ended.wait(max(0.0, LINE_SECONDS - (time.monotonic() - began)))


def require_batch(counts: BatchCounts) -> BatchCounts:
    """Return the counts of a batch that must exist.

    Raises:
        UsageError: there is no such batch.
    """
    if not counts.total:
        raise UsageError(f"There is no batch {counts.batch_id}: `fleet status` lists those of the ledger.")
    return counts
