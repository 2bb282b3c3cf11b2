"""The services of one worker process: ledger, store and sandbox."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache

from app.config import Settings, settings
from app.errors import ServerError
from app.ledger.ledger import Ledger
from app.queues import Queue
from app.sandbox.limits import limits_of
from app.sandbox.sandbox import Sandbox
from app.storage.store import ObjectStore

logger = logging.getLogger(__name__)


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


def report_presence(services: Services) -> None:
    """Report from now on, in a thread, that this worker lives, with its documents in progress."""

    def report() -> None:
        pause = threading.Event()
        while not pause.wait(services.config.presence_seconds / 3):
            try:
                services.ledger.report_presence(services.queue, services.worker, list(services.in_progress))
            except ServerError as error:
                logger.warning("presence could not be reported: %s", error)

    threading.Thread(target=report, name="presence", daemon=True).start()
