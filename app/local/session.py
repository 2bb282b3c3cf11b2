"""What a run stands on: a folder, a server, a store, a ledger and the elastic fleet."""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from app.config import Settings
from app.errors import FleetError, ServerError, ServerRefusedError, SettingsError, StorageFullError
from app.ledger.connection import check, masked
from app.ledger.ledger import Ledger
from app.ledger.reconcile import reconcile_queues
from app.local.claim import ServerClaim
from app.local.fleet import LocalFleet, QueueStatus
from app.local.processes import ProcessGroup
from app.local.server import EmbeddedServer
from app.policy.policy import Policy
from app.queues import Queue
from app.runtime.signals import held_back
from app.storage.store import ObjectStore


def local_settings(config: Settings, *, redis_url: str, store_url: str) -> Settings:
    """Return `config` for workers on this machine, where a second is a long time."""
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
    """A context manager that starts what a local run needs, and ends all of it, whatever happens.

    Args:
        config: The settings as given; an empty redis_url or store_url means: our own.
        policies: The policy of each queue.
        on_event: Told of what happens, as (what, details).

    Raises:
        FleetError: where something cannot be started, with the reason.
    """

    config: Settings
    ledger: Ledger
    store: ObjectStore
    fleet: LocalFleet

    def __init__(
        self,
        config: Settings,
        policies: Mapping[Queue, Policy],
        *,
        on_event: Callable[[str, dict[str, str]], None] | None = None,
    ) -> None:
        self._given = config
        self._policies = policies
        self._on_event = on_event or (lambda _what, _details: None)
        self._server: EmbeddedServer | None = None
        self._server_is_away = False
        self._reconciled = 0.0
        self._claim: ServerClaim | None = None

    def __enter__(self) -> Self:
        if self._given.store_url.startswith("memory:"):
            raise SettingsError(
                "FLEET_STORE_URL=memory:// lives in one process, and a fleet has many: use file:// or s3://."
            )
        try:
            self.folder = Path(tempfile.mkdtemp(prefix="pdf-fleet-"))
        except OSError as error:
            raise FleetError(
                f"No folder for this run can be made in {tempfile.gettempdir()}: {error.strerror}; "
                "free some space, or set TMPDIR."
            ) from None
        self._group = ProcessGroup(self.folder)
        try:
            with self._in_folder():
                self._start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _start(self) -> None:
        given = self._given
        redis_url = given.redis_url
        if not redis_url:
            self._server = EmbeddedServer(self.folder / "valkey", self._group)
            self._server.start()
            redis_url = self._server.url
        store_url = given.store_url or f"file://{self.folder / 'store'}"
        self.config = local_settings(given, redis_url=redis_url, store_url=store_url)
        check(self.config)
        self.store = ObjectStore.of(self.config)
        self.ledger = Ledger.of(self.config, retries=0, on_error=self._await_server)
        if self._server is None:
            self._claim = ServerClaim(self.ledger.client, self.config)
            self._claim.hold()
        self.fleet = LocalFleet(
            self.config,
            self.ledger,
            self._policies,
            group=self._group,
            folder=self.folder / "workers",
            on_event=self._note,
        )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with held_back():
            if hasattr(self, "fleet"):
                # To a server that ends with the run, or is away, the workers have nothing to give back.
                self.fleet.close(gracefully=self._server is None and not self._server_is_away)
            if self._server is not None:
                self._server.stop()
            if self._claim is not None:
                with suppress(ServerError):  # it expires
                    self._claim.release()
            self._group.close()
            shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def server_pid(self) -> int:
        """Process id of the embedded server; 0 where another is used."""
        return self._server.pid if self._server else 0

    def step(self) -> dict[Queue, QueueStatus]:
        """Look at the queues, scale, mend what is lost; call it a few times a second.

        Raises:
            ServerError: where the server stays away.
            FleetError: where workers cannot start.
        """
        depths = self.ledger.depths(list(self._policies))
        self._server_is_away = False
        with self._in_folder():
            statuses = self.fleet.step(depths)
        now = time.monotonic()
        if now - self._reconciled >= self.config.reconcile_seconds:
            self._reconciled = now
            reconcile_queues(self.ledger)
        if self._claim is not None:
            self._claim.hold()
        return statuses

    def _await_server(self, error: ServerError, away_seconds: float) -> None:
        """Wait a moment for the server, whose client then repeats its command.

        Raises:
            ServerError: the server stays away, or refuses.
            StorageFullError: its disk is full.
        """
        where = (
            "embedded Redis server" if self._server else f"Redis server at {masked(self.config.redis_url)}"
        )
        reason = error.__cause__ or error
        if "MISCONF" in str(error) or "No space left" in str(error):
            disk = f"the disk of {self.folder}, or set TMPDIR" if self._server else "its disk"
            raise StorageFullError(
                f"The {where} cannot write any more ({reason}): free some space on {disk}."
            )
        if self._server is not None and self._server.ensure():
            self._note("fault", {"reason": "the embedded server died and was started again"})
            return
        if isinstance(error, ServerRefusedError):
            raise error
        self._server_is_away = True
        timeout = self.config.server_patience_seconds
        if away_seconds > timeout:
            left = "the documents stay in it" if self._given.store_url else "run the command again"
            raise ServerError(
                f"The {where} went away and has not come back for {timeout:g} s ({reason}): start it, and {left}."
            )
        time.sleep(0.2)

    @contextmanager
    def _in_folder(self) -> Iterator[None]:
        """Say which folder it is that cannot be written."""
        try:
            yield
        except OSError as error:
            raise FleetError(
                f"The run's folder {self.folder} cannot be written: {error.strerror or error}; "
                "free some space, or set TMPDIR to another folder."
            ) from None

    def _note(self, what: str, details: dict[str, str]) -> None:
        if what == "replaced":
            self._reconciled = 0.0  # what the dead worker had in hand goes back at once
        self._on_event(what, details)
