"""The connection to a remote fleet."""

from app.config import settings
from app.ledger.connection import RETRIES, ping
from app.ledger.ledger import Ledger


def connect(*, retries: int = RETRIES) -> Ledger:
    """Return the ledger of the fleet that FLEET_REDIS_URL names, after one ping.

    Args:
        retries: How often a command is repeated while the server is away.

    Raises:
        SettingsError: FLEET_REDIS_URL is missing or cannot be used.
        ServerError: the server does not answer.
    """
    config = settings()
    ping(config)
    return Ledger.of(config, retries=retries)
