"""Originals and results as objects under keys: a folder, memory or S3, told apart by the URL.

Build the store in the process that uses it: obstore's runtime does not survive a fork.

A folder is obstore's too, and laid out as it lays it out; but the bytes of one object are read and written here.
obstore hands each call to a thread of its runtime, twice for a read, and that was a fifth of a worker's CPU time
(docs/decisions/0013).
"""

import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, from_url

from app.config import Settings
from app.errors import SettingsError, StorageError, StorageFullError
from app.runtime import atomic

SCHEMES = {"file", "s3", "memory"}
NO_SPACE = ("No space left on device", "Disk quota exceeded", "File too large")
_PLAIN_KEY = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)*", re.ASCII)
"""A key whose path below the folder is the key itself; any other one is obstore's to spell or to refuse."""


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
        self._folder: str | None = None
        try:
            if parts.scheme == "file":
                folder = Path(unquote(parts.path))
                self._store: Any = LocalStore(folder, mkdir=True, automatic_cleanup=False)
                self._folder = str(folder)
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

    @classmethod
    def of(cls, config: Settings) -> Self:
        """The store that `config.store_url` names.

        Raises:
            SettingsError: it names none, or one that cannot be used.
        """
        return cls(config.require("store_url"), timeout_seconds=config.socket_timeout_seconds)

    def put(self, key: str, data: bytes) -> None:
        """Store `data` under `key`, replacing what was there, whole or not at all.

        Raises:
            StorageFullError: where there is no room.
            StorageError: for any other reason.
        """
        try:
            if self._folder is not None and _PLAIN_KEY.fullmatch(key):
                self._write(f"{self._folder}/{key}", data)
            else:
                obstore.put(self._store, key, data)
        except (BaseError, OSError, ValueError) as error:
            raise self._translated("write", key, error) from None

    def get(self, key: str) -> bytes:
        """Return what is stored under `key`.

        Raises:
            FileNotFoundError: where there is nothing.
            StorageError: where the store does not answer.
        """
        try:
            if self._folder is not None and _PLAIN_KEY.fullmatch(key):
                with open(f"{self._folder}/{key}", "rb", buffering=0) as file:  # noqa: PTH123  # see the head
                    return file.read()
            return bytes(obstore.get(self._store, key).bytes())
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise FileNotFoundError(f"There is no object {key!r} in {self.url}.") from None
        except (BaseError, OSError, ValueError) as error:
            raise self._translated("read", key, error) from None

    def delete(self, key: str) -> None:
        """Remove `key`; one that is not there is no error."""
        try:
            obstore.delete(self._store, key)
        except FileNotFoundError:
            return
        except (BaseError, OSError, ValueError) as error:
            raise self._translated("delete", key, error) from None

    def keys(self, prefix: str = "") -> list[str]:
        """Return the keys below `prefix`, sorted."""
        try:
            return sorted(entry["path"] for page in obstore.list(self._store, prefix) for entry in page)
        except (BaseError, OSError, ValueError) as error:
            raise self._translated("list", prefix, error) from None

    @staticmethod
    def _write(path: str, data: bytes) -> None:
        try:
            atomic.write(path, data)
        except FileNotFoundError:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            atomic.write(path, data)

    def _translated(self, what: str, key: str, error: Exception) -> StorageError:
        reason = _first_line(error)
        if any(text in str(error) for text in NO_SPACE):
            return StorageFullError(f"No room is left in {self.url} to {what} {key!r}: free some space.")
        return StorageError(f"{self.url} could not {what} {key!r}: {reason}")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
