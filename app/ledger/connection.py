"""Connections to Redis that retry while the server is away for a short time, and raise a `ServerError` after that."""

import time
from collections.abc import Callable
from copy import copy
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import urlsplit, urlunsplit

from redis import ConnectionPool, Redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import (
    BusyLoadingError,
    ConnectionError,  # noqa: A004
    NoScriptError,
    ReadOnlyError,
    ResponseError,
    TimeoutError,  # noqa: A004
)
from redis.retry import Retry

from app.errors import ServerError, ServerRefusedError, SettingsError
from app.runtime import heartbeat

if TYPE_CHECKING:
    from app.config import Settings

T = TypeVar("T")
SCHEMES = {"redis", "rediss", "unix"}
RETRIES = 12
"""Retries of a command; with their pauses they last about as long as the restart of a Redis pod."""
LONGEST_PAUSE_SECONDS = 2.0
"""The longest pause between two tries."""
RETRIED = (ConnectionError, TimeoutError, BusyLoadingError)
OnError = Callable[[ServerError, float], None]
"""The callback for a failed command: it gets the error and the seconds since the first failure, and returns for another
round of tries or raises."""


class FleetRetry(Retry):
    """The retry policy of a client: `retries` retries with pauses, then `on_error`, or a `ServerError`.

    Args:
        address: The server's address without its password, for the error message.
        retries: How often a command is repeated after the server did not answer.
        on_error: Called after the last try; None: the error is raised.
    """

    def __init__(self, address: str, retries: int, on_error: OnError | None = None) -> None:
        super().__init__(backoff(), retries, RETRIED)
        self._address = address
        self._on_error = on_error
        self._running = False

    def __deepcopy__(self, _memo: dict[int, Any]) -> Self:
        """Return a policy for one more connection; redis-py gives each connection its own."""
        return type(self)(self._address, self._retries, self._on_error)

    def call_with_retry(self, do: Callable[[], T], fail: Callable[..., Any], *rest: Any, **more: Any) -> T:
        """Return what `do` returns.

        Raises:
            ServerError: the server does not answer, or refuses.
        """
        if self._running:  # connecting for a command is part of the command
            return super().call_with_retry(do, fail, *rest, **more)
        self._running = True
        first: float | None = None
        try:
            while True:
                try:
                    return super().call_with_retry(do, fail, *rest, **more)
                except NoScriptError:
                    raise  # redis-py answers it by sending the script
                except (*RETRIED, ResponseError) as error:
                    failure = self._failure(error)
                    if self._on_error is None:
                        raise failure from error
                    failure.__cause__ = error
                    first = first or time.monotonic()
                    self._on_error(failure, time.monotonic() - first)
        finally:
            self._running = False

    def _failure(self, error: Exception) -> ServerError:
        if isinstance(error, ResponseError) and not isinstance(error, ReadOnlyError):
            return ServerRefusedError(f"The Redis server at {self._address} refuses a command: {error}.")
        return ServerError(
            f"No Redis server answers at {self._address} ({error}): start it, or correct FLEET_REDIS_URL."
        )


class _Pool(ConnectionPool):
    """A pool that applies the client's retry policy to getting a connection too, which redis-py's pool does not."""

    def get_connection(self, *names: Any, **more: Any) -> Any:
        """Return a connection."""
        policy = copy(self.connection_kwargs["retry"])
        get = partial(super().get_connection, *names, **more)
        return policy.call_with_retry(get, lambda _error: None)  # the pool has closed the connection already


def connect(settings: "Settings", *, retries: int = RETRIES, on_error: OnError | None = None) -> "Redis":
    """Return a client for `settings.redis_url` whose commands raise a `ServerError` if the retries fail.

    Args:
        settings: The server's address, certificates and timeouts.
        retries: As for `FleetRetry`.
        on_error: As for `FleetRetry`.

    Raises:
        SettingsError: the URL is missing or of another kind, or the file of certificates cannot be read.
    """
    url = settings.require("redis_url")
    scheme = urlsplit(url).scheme
    if scheme not in SCHEMES:
        raise SettingsError(
            f"FLEET_REDIS_URL={masked(url)!r} cannot be used: "
            "it must begin with redis://, rediss:// or unix://."
        )
    options = connection_options(settings)
    options["retry"] = FleetRetry(masked(url), retries, on_error)
    if scheme == "rediss":
        options["ssl_ca_certs"] = authorities(settings)
    try:
        return Redis.from_pool(_Pool.from_url(url, decode_responses=True, **options))
    except ValueError as error:
        raise SettingsError(f"FLEET_REDIS_URL={masked(url)!r} cannot be used: {error}") from None


def authorities(settings: "Settings") -> str | None:
    """Return the file with the CA certificates for a rediss:// server; None for the system's.

    Raises:
        SettingsError: the file cannot be read.
    """
    if not settings.redis_ca_file:
        return None
    try:
        with open(settings.redis_ca_file, "rb"):  # noqa: PTH123
            return settings.redis_ca_file
    except OSError as error:
        raise SettingsError(
            f"FLEET_REDIS_CA_FILE={settings.redis_ca_file!r} cannot be read: {error.strerror}."
        ) from None


def connection_options(settings: "Settings") -> dict[str, Any]:
    """Return the keyword arguments of a redis-py client with the fleet's timeouts and retries."""
    return {
        "socket_timeout": settings.socket_timeout_seconds,
        "socket_connect_timeout": settings.socket_timeout_seconds,
        "retry": Retry(backoff(), RETRIES),
        "retry_on_error": list(RETRIED),
    }


class _Pauses(ExponentialWithJitterBackoff):
    """Pauses between tries; each begins with a beat, as a process that waits for its server does not hang."""

    def compute(self, failures: int) -> float:
        """Return the seconds until the next try."""
        heartbeat.beat()
        return float(super().compute(failures))


def backoff() -> ExponentialWithJitterBackoff:
    """Return the pauses between tries."""
    return _Pauses(base=0.05, cap=LONGEST_PAUSE_SECONDS)


def ping(settings: "Settings") -> None:
    """Ping the server at `settings.redis_url` once, without retries.

    Raises:
        ServerError: it does not answer; the message has its address and the reason.
    """
    with connect(settings, retries=0) as client:
        client.ping()


def masked(url: str) -> str:
    """Return `url` without its password, for messages and logs."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{parts.username or ''}:***@{host}"))
