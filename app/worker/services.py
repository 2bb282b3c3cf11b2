"""The services of one worker process: ledger, store and sandbox."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache

from app.config import Settings, settings
from app.ledger.ledger import Ledger
from app.queues import Queue
from app.sandbox.limits import limits_of
from app.sandbox.sandbox import Sandbox
from app.storage.store import ObjectStore


@dataclass
class Services:
    """The ledger, the store and the sandbox of one worker process."""

    config: Settings
    ledger: Ledger
    store: ObjectStore
    sandbox: Sandbox
    queue: Queue = Queue.PDF
    worker: str = ""
    """Name of the worker in the ledger."""
    in_progress: dict[str, None] = field(default_factory=dict)
    """The documents that the worker reports as in progress."""

    @contextmanager
    def working_on(self, document_id: str) -> Iterator[None]:
        """Report a document as in progress during the body."""
        self.in_progress[document_id] = None
        try:
            yield
        finally:
            self.in_progress.pop(document_id, None)


@lru_cache(maxsize=1)
def worker_services() -> Services:
    """Return the services of this process."""
    config = settings()
    sandbox = Sandbox(limits_of(config), max_documents=config.sandbox_max_documents)
    return Services(config, Ledger.of(config), ObjectStore.of(config), sandbox)
