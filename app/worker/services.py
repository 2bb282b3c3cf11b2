"""What a task works with, built once in the process that uses it."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache

from redis.exceptions import RedisError

from app.config import Settings, settings
from app.ledger.ledger import Ledger, ledger_of
from app.sandbox.limits import limits_of
from app.sandbox.sandbox import Sandbox
from app.storage.store import ObjectStore

logger = logging.getLogger(__name__)


@dataclass
class Services:
    """The ledger, the store and the sandboxes of one worker process."""

    config: Settings
    ledger: Ledger
    store: ObjectStore
    worker: str = ""
    in_hand: dict[str, None] = field(default_factory=dict)
    """Documents being worked on; what the worker's presence says."""
    on_wait: Callable[[], None] | None = None
    """Called about every second while a document is in the sandbox: the worker's heartbeat."""
    _local: threading.local = field(default_factory=threading.local)
    _sandboxes: list[Sandbox] = field(default_factory=list)

    @property
    def sandbox(self) -> Sandbox:
        """The sandbox of the calling thread; started with the first use."""
        mine: Sandbox | None = getattr(self._local, "sandbox", None)
        if mine is None:
            mine = Sandbox(limits_of(self.config), max_documents=self.config.sandbox_max_documents)
            self.adopt(mine)
        return mine

    def adopt(self, sandbox: Sandbox) -> None:
        """Make `sandbox`, which may be starting already, the one of the calling thread."""
        sandbox.on_wait = self._waiting
        self._local.sandbox = sandbox
        self._sandboxes.append(sandbox)

    def _waiting(self) -> None:
        if self.on_wait is not None:
            self.on_wait()

    @contextmanager
    def holding(self, document_id: str) -> Iterator[None]:
        """Count a document as in hand."""
        self.in_hand[document_id] = None
        try:
            yield
        finally:
            self.in_hand.pop(document_id, None)

    def interrupt(self) -> None:
        """Cut the work in hand short: the worker's grace is about to end."""
        for sandbox in self._sandboxes:
            sandbox.interrupt()

    def close(self) -> None:
        """End the sandboxes' children."""
        for sandbox in self._sandboxes:
            sandbox.close()


@lru_cache(maxsize=1)
def services() -> Services:
    """Return the services of this process; built with the first task, after any fork."""
    config = settings()
    store = ObjectStore(config.store_url, timeout_seconds=config.socket_timeout_seconds)
    on = Services(config=config, ledger=ledger_of(config), store=store)
    threading.Thread(target=_report_presence, args=(on,), name="presence", daemon=True).start()
    return on


def _report_presence(on: Services) -> None:
    """Say again and again that this process lives, and what it has in hand."""
    pause = threading.Event()
    while not pause.wait(on.config.presence_seconds / 3):
        if not on.worker:
            continue  # nothing was taken yet
        try:
            on.ledger.report_presence(on.worker, list(on.in_hand))
        except RedisError as error:
            logger.warning("presence could not be reported: %s", error)
