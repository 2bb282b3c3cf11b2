"""One local run: its folder, server, store, ledger and fleet, from start to stop."""

import logging
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Self

import msgspec

from app.config import Settings
from app.errors import (
    FleetError,
    ServerError,
    ServerRefusedError,
    SettingsError,
    StorageError,
    StorageFullError,
)
from app.ledger.archive import Archive
from app.ledger.connection import masked, ping
from app.ledger.ledger import Ledger
from app.ledger.reconcile import Reconciler
from app.local.claim import ServerClaim
from app.local.fleet import LocalFleet, QueueStatus
from app.local.processes import ProcessGroup
from app.local.server import EmbeddedServer
from app.policy.policy import Policy
from app.queues import Queue
from app.report.timeline import Event, What
from app.runtime.signals import held_back
from app.storage.store import ObjectStore

logger = logging.getLogger(__name__)
BATCH_SECONDS = 24 * 3_600.0
"""How long a finished batch stays in the ledger: the run may still add to it, and counts there."""
ARCHIVE_SECONDS = 0.2
"""How long a run archives at a time, but for the part that it has begun."""
ARCHIVE_EVERY_SECONDS = 1.0
"""Pause between two such times."""


def local_settings(config: Settings, *, redis_url: str, store_url: str) -> Settings:
    """Return `config` with the addresses given, and with shorter waits, as all workers run on this machine."""
    return msgspec.structs.replace(
        config,
        redis_url=redis_url,
        store_url=store_url,
        presence_seconds=min(config.presence_seconds, 10.0),
        reconcile_seconds=min(config.reconcile_seconds, 1.0),
        reconcile_after_seconds=min(config.reconcile_after_seconds, 3.0),
        max_retries=min(config.max_retries, 4),
        retry_backoff_max_seconds=min(config.retry_backoff_max_seconds, 2.0),
    )


class Session:
    """One local run: a context manager that starts server, store, ledger and fleet, and stops all it started.

    Args:
        config: The settings; without a redis_url the run starts a server, without a store_url it makes a folder.
        policies: The policy of each queue.
        on_event: Called with each event of the run; `Event.t` is not set.

    Raises:
        SettingsError: a setting cannot be used.
        FleetError: something cannot be started; with the reason.
    """

    config: Settings
    ledger: Ledger
    store: ObjectStore
    fleet: LocalFleet
    folder: Path

    def __init__(
        self,
        config: Settings,
        policies: Mapping[Queue, Policy],
        *,
        on_event: Callable[[Event], None] = lambda _event: None,
    ) -> None:
        self._given = config
        self._policies = policies
        self._on_event = on_event
        self._server: EmbeddedServer | None = None
        self._claim: ServerClaim | None = None
        self._server_is_away = False
        self._reconciled = 0.0
        self._archived = 0.0
        self._started = ExitStack()
        self._stopping = False

    def __enter__(self) -> Self:
        if self._given.store_url.startswith("memory:"):
            raise SettingsError(
                "FLEET_STORE_URL=memory:// lives in one process, and a fleet has many: use file:// or s3://."
            )
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self) -> None:
        self.folder = _make_folder()
        self._started.callback(shutil.rmtree, self.folder, ignore_errors=True)
        group = ProcessGroup(self.folder)
        self._started.callback(group.close)
        with self._in_folder():
            store_url = self._given.store_url or (self.folder / "store").as_uri()
            redis_url = self._given.redis_url or self._start_server(group)
            self.config = local_settings(self._given, redis_url=redis_url, store_url=store_url)
            ping(self.config)
            self.store = ObjectStore.of(self.config)
            self.ledger = Ledger.of(self.config, retries=0, on_error=self._await_server)
            self._reconciler = Reconciler(self.ledger)
            self._archive = Archive(self.ledger, self.store, batch_seconds=BATCH_SECONDS)
            if self._server is None:
                self._claim = ServerClaim(self.ledger.client, self.config)
                self._started.callback(self._claim.release)
                self._claim.hold()
            self.fleet = LocalFleet(
                self.config,
                self.ledger,
                self._policies,
                group=group,
                folder=self.folder / "workers",
                on_event=self._tell,
            )
            self._started.callback(self._close_fleet)

    def _start_server(self, group: ProcessGroup) -> str:
        self._server = EmbeddedServer(self.folder / "valkey", group)
        self._started.callback(self._server.stop)
        self._server.start()
        return self._server.url

    def __exit__(self, *_: object) -> None:
        self._stopping = True
        with held_back():
            self._started.close()

    def _close_fleet(self) -> None:
        if self._server_is_away:  # it was at some time since the last step
            with suppress(ServerError):
                self._server_is_away = not self.ledger.client.ping()
        # Workers cannot requeue on a server that is away, and need not on one that ends with the run.
        self.fleet.close(gracefully=self._server is None and not self._server_is_away)

    @property
    def server_pid(self) -> int:
        """Process id of the embedded server; 0 if the run uses another server."""
        return self._server.pid if self._server else 0

    def step(self) -> dict[Queue, QueueStatus]:
        """Measure the queues, scale the fleet and reconcile; call it a few times a second.

        Returns:
            The status of each queue.

        Raises:
            ServerError: the server stays away.
            FleetError: workers cannot start.
        """
        depths = self.ledger.depths(list(self._policies))
        self._server_is_away = False
        with self._in_folder():
            statuses = self.fleet.step(depths)
        for queue, depth in depths.items():
            if depth.delayed:
                self.ledger.fill(queue)
        now = time.monotonic()
        if now - self._reconciled >= self.config.reconcile_seconds:
            self._reconciled = now
            self._reconciler.reconcile()
        if self._claim is not None:
            self._claim.hold()
        return statuses

    def archive(self) -> None:
        """Archive for a moment, if some time has passed; call it after the settled documents were read.

        Raises:
            ServerError: the server stays away.
        """
        now = time.monotonic()
        if now - self._archived < ARCHIVE_EVERY_SECONDS:
            return
        try:
            self._archive.run(ARCHIVE_SECONDS)
        except StorageError as error:
            logger.warning("settled documents stay in the ledger: %s", error)
        self._archived = time.monotonic()

    def _await_server(self, error: ServerError, away_seconds: float) -> None:
        """Wait a moment for the server; the ledger's client then repeats its command.

        Raises:
            ServerError: the server stays away, or refuses.
            StorageFullError: its disk is full.
        """
        if self._stopping:
            raise error
        server = (
            "embedded Redis server" if self._server else f"Redis server at {masked(self.config.redis_url)}"
        )
        reason = error.__cause__ or error
        if "MISCONF" in str(error) or "No space left" in str(error):
            disk = f"the disk of {self.folder}, or set TMPDIR" if self._server else "its disk"
            raise StorageFullError(
                f"The {server} cannot write any more ({reason}): free some space on {disk}."
            )
        if self._server is not None and self._server.ensure():
            self._tell(Event(what=What.FAULT, message="the embedded server died and was started again"))
            return
        if isinstance(error, ServerRefusedError):
            raise error
        self._server_is_away = True
        timeout = self.config.server_timeout_seconds
        if away_seconds > timeout:
            follow_up = "it keeps the documents" if self._given.store_url else "then run the command again"
            raise ServerError(
                f"The {server} went away and has not come back for {timeout:g} s ({reason}): start it; {follow_up}."
            )
        time.sleep(0.2)

    @contextmanager
    def _in_folder(self) -> Iterator[None]:
        """Turn an OSError of the body into a sentence about the run's folder."""
        try:
            yield
        except OSError as error:
            raise FleetError(
                f"The run's folder {self.folder} cannot be written: {error.strerror or error}; "
                "free some space, or set TMPDIR to another folder."
            ) from None

    def _tell(self, event: Event) -> None:
        if event.what is What.REPLACED:
            self._reconciled = 0.0  # the next step requeues the document that the dead worker had in progress
        self._on_event(event)


def _make_folder() -> Path:
    try:
        return Path(tempfile.mkdtemp(prefix="pdf-fleet-"))
    except OSError as error:
        raise FleetError(
            f"No folder for this run can be made in {tempfile.gettempdir()}: {error.strerror}; "
            "free some space, or set TMPDIR."
        ) from None
