"""The services of one worker process: ledger, store and sandbox, built with its first document."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache

from app.config import Settings, settings
from app.errors import ServerError
from app.ledger.ledger import Ledger
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
    worker: str = ""
    in_progress: dict[str, None] = field(default_factory=dict)
    """The documents that the worker's presence names."""
    on_wait: Callable[[], None] | None = None
    """Called about every second while a document is in the sandbox: the worker's heartbeat."""
    _sandbox: Sandbox | None = None

    @property
    def sandbox(self) -> Sandbox:
        """The sandbox; created with the first use."""
        if self._sandbox is None:
            self.adopt(Sandbox(limits_of(self.config), max_documents=self.config.sandbox_max_documents))
        assert self._sandbox is not None  # noqa: S101  # for mypy
        return self._sandbox

    def adopt(self, sandbox: Sandbox) -> None:
        """Use `sandbox`, whose child may be starting already."""
        sandbox.on_wait = self._waiting
        self._sandbox = sandbox

    def _waiting(self) -> None:
        if self.on_wait is not None:
            self.on_wait()

    @contextmanager
    def working_on(self, document_id: str) -> Iterator[None]:
        """Count a document as in progress."""
        self.in_progress[document_id] = None
        try:
            yield
        finally:
            self.in_progress.pop(document_id, None)

    def interrupt(self) -> None:
        """Interrupt the document in progress: the worker's grace is about to end."""
        if self._sandbox is not None:
            self._sandbox.interrupt()

    def close(self) -> None:
        """Stop the sandbox's child."""
        if self._sandbox is not None:
            self._sandbox.close()


@lru_cache(maxsize=1)
def worker_services() -> Services:
    """Return the services of this process."""
    config = settings()
    services = Services(config=config, ledger=Ledger.of(config), store=ObjectStore.of(config))
    threading.Thread(target=_report_presence, args=(services,), name="presence", daemon=True).start()
    return services


def _report_presence(services: Services) -> None:
    """Report again and again that this process lives, and its documents in progress."""
    pause = threading.Event()
    while not pause.wait(services.config.presence_seconds / 3):
        if not services.worker:
            continue  # it has had no document yet
        try:
            services.ledger.report_presence(services.worker, list(services.in_progress))
        except ServerError as error:
            logger.warning("presence could not be reported: %s", error)
