"""Originals and results as objects under keys: a folder, memory or S3, told apart by the URL.

Build the store in the process that uses it: obstore's runtime does not survive a fork.
"""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, from_url

from app.errors import SettingsError, StorageError, StorageFullError

SCHEMES = {"file", "s3", "memory"}
NO_SPACE = ("No space left on device", "Disk quota exceeded", "File too large")


class ObjectStore:
    """Bytes by key. A missing key raises `FileNotFoundError`, whatever the store.

    Args:
        url: `file:///folder`, `s3://bucket/prefix` (credentials and endpoint from the AWS_ variables) or
            `memory://` (this process only).
        timeout_seconds: How long one request may take.

    Raises:
        SettingsError: for a URL of another kind.
    """

    def __init__(self, url: str, *, timeout_seconds: float) -> None:
        parts = urlsplit(url)
        if parts.scheme not in SCHEMES:
            raise SettingsError(
                f"FLEET_STORE_URL={url!r} cannot be used: it must begin with file://, s3:// or memory://."
            )
        self.url = url
        try:
            if parts.scheme == "file":
                self._store: Any = LocalStore(Path(unquote(parts.path)), mkdir=True, automatic_cleanup=False)
            elif parts.scheme == "s3":
                timeout = timedelta(seconds=timeout_seconds)
                self._store = from_url(
                    url,
                    client_options={
                        "timeout": timeout,
                        "connect_timeout": timeout,
                        # Whoever names an endpoint without TLS (a gateway in the same cluster) means it.
                        "allow_http": os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://"),
                    },
                    retry_config={"max_retries": 3, "retry_timeout": timeout * 3},
                )
            else:
                self._store = from_url(url)
        except (BaseError, OSError, ValueError) as error:
            raise SettingsError(f"FLEET_STORE_URL={url!r} cannot be used: {_first_line(error)}.") from None

    def put(self, key: str, data: bytes) -> None:
        """Store `data` under `key`, replacing what was there, whole or not at all.

        Raises:
            StorageFullError: where there is no room.
            StorageError: for any other reason.
        """
        try:
            obstore.put(self._store, key, data)
        except (BaseError, OSError) as error:
            raise self._translated("write", key, error) from None

    def get(self, key: str) -> bytes:
        """Return what is stored under `key`.

        Raises:
            FileNotFoundError: where there is nothing.
            StorageError: where the store does not answer.
        """
        try:
            return bytes(obstore.get(self._store, key).bytes())
        except FileNotFoundError:
            raise FileNotFoundError(f"There is no object {key!r} in {self.url}.") from None
        except (BaseError, OSError) as error:
            raise self._translated("read", key, error) from None

    def delete(self, key: str) -> None:
        """Remove `key`; one that is not there is no error."""
        try:
            obstore.delete(self._store, key)
        except FileNotFoundError:
            return
        except (BaseError, OSError) as error:
            raise self._translated("delete", key, error) from None

    def keys(self, prefix: str = "") -> list[str]:
        """Return the keys below `prefix`, sorted."""
        try:
            return sorted(entry["path"] for page in obstore.list(self._store, prefix) for entry in page)
        except (BaseError, OSError) as error:
            raise self._translated("list", prefix, error) from None

    def _translated(self, what: str, key: str, error: Exception) -> StorageError:
        reason = _first_line(error)
        if any(text in str(error) for text in NO_SPACE):
            return StorageFullError(f"No room is left in {self.url} to {what} {key!r}: free some space.")
        return StorageError(f"{self.url} could not {what} {key!r}: {reason}")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
