"""Connections to Redis: patient with a server that restarts, clear about one that is not there."""

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from redis import Redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import BusyLoadingError, ConnectionError, RedisError, TimeoutError  # noqa: A004
from redis.retry import Retry

from app.errors import ServerError, SettingsError

if TYPE_CHECKING:
    from app.config import Settings

SCHEMES = {"redis", "rediss", "unix"}
RETRIES = 12
"""With pauses of up to 2 s: about as long as a Redis pod needs to come back with its data."""


def connect(settings: "Settings", *, retries: int = RETRIES) -> "Redis":
    """Return a client for `settings.redis_url` that waits out a short absence of the server.

    Raises:
        SettingsError: for a URL of another kind.
    """
    scheme = urlsplit(settings.redis_url).scheme
    if scheme not in SCHEMES:
        raise SettingsError(
            f"FLEET_REDIS_URL={masked(settings.redis_url)!r} cannot be used: "
            "it must begin with redis://, rediss:// or unix://."
        )
    options = patient_options(settings, retries=retries)
    if urlsplit(settings.redis_url).scheme == "rediss":
        options["ssl_ca_certs"] = authorities(settings)
    try:
        return Redis.from_url(settings.redis_url, decode_responses=True, **options)
    except ValueError as error:
        raise SettingsError(
            f"FLEET_REDIS_URL={masked(settings.redis_url)!r} cannot be used: {error}"
        ) from None


def authorities(settings: "Settings") -> str | None:
    """Return the file of those that may vouch for a rediss:// server; None for the system's.

    Raises:
        SettingsError: for a file that cannot be read.
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


def patient_options(settings: "Settings", *, retries: int = RETRIES) -> dict[str, Any]:
    """Return the options of a client that waits out a short absence of the server."""
    return {
        "socket_timeout": settings.socket_timeout_seconds,
        "socket_connect_timeout": settings.socket_timeout_seconds,
        "retry": Retry(backoff(), retries),
        "retry_on_error": [ConnectionError, TimeoutError, BusyLoadingError],
    }


def backoff() -> ExponentialWithJitterBackoff:
    """Return the pauses between tries, up to 2 s."""
    return ExponentialWithJitterBackoff(base=0.05, cap=2.0)


def check(settings: "Settings") -> None:
    """Make sure that a server answers at `settings.redis_url`, without patience.

    Raises:
        ServerError: where none does, with the address and the reason.
    """
    try:
        with connect(settings, retries=0) as client:
            client.ping()
    except (RedisError, OSError) as error:
        raise ServerError(
            f"No Redis server answers at {masked(settings.redis_url)} ({error}): "
            "start it, or correct FLEET_REDIS_URL."
        ) from None


def masked(url: str) -> str:
    """Return `url` without its password, for messages and logs."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{parts.username or ''}:***@{host}"))
