"""Object stores that keep originals and results under keys: a folder, memory or S3, chosen by the URL.

A folder has the layout of obstore's `LocalStore`, but this module reads and writes its objects itself: obstore passes
each call to a thread of its runtime, twice for a read, which took a fifth of a worker's CPU time
(docs/decisions/0013).
"""

import os
import re
from collections.abc import Iterator
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
"""Keys that are their own path below the folder; obstore encodes or refuses all others."""


class ObjectStore:
    """An object store: bytes by key. A missing key raises `FileNotFoundError` in every kind of store.

    Build it in the process that uses it: obstore's runtime does not survive a fork.

    Args:
        url: `file:///absolute/folder` (percent-encoded, as `Path.as_uri()` does it), `s3://bucket/prefix` (credentials
            and endpoint from the AWS_ variables) or `memory://` (this process only).
        timeout_seconds: Timeout of one request.

    Raises:
        SettingsError: `url` is of another kind, or its store cannot be opened.
    """

    def __init__(self, url: str, *, timeout_seconds: float) -> None:
        parts = urlsplit(url)
        if parts.scheme not in SCHEMES:
            raise SettingsError(
                f"FLEET_STORE_URL={url!r} cannot be used: it must begin with file://, s3:// or memory://."
            )
        is_path = parts.path.startswith("/") and parts.netloc in {"", "localhost"} and not {"?", "#"} & {*url}
        if parts.scheme == "file" and not is_path:
            raise SettingsError(
                f"FLEET_STORE_URL={url!r} cannot be used: write file:///absolute/folder, with # as %23 and ? as %3F."
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
                        # An explicit http:// endpoint (a gateway in the same cluster) is intended.
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
        """Return the object store that the settings name.

        Raises:
            SettingsError: FLEET_STORE_URL cannot be used.
        """
        return cls(config.store_url, timeout_seconds=config.socket_timeout_seconds)

    def put(self, key: str, data: bytes) -> None:
        """Store `data` under `key` atomically, replacing any older object.

        Raises:
            StorageFullError: the store has no room left.
            StorageError: the store failed for any other reason.
        """
        try:
            if self._folder is not None and _PLAIN_KEY.fullmatch(key):
                self._write(f"{self._folder}/{key}", data)
            else:
                obstore.put(self._store, key, data)
        except (BaseError, OSError, ValueError) as error:
            raise self._failure("write", key, error) from None

    def get(self, key: str) -> bytes:
        """Return the object under `key`.

        Raises:
            FileNotFoundError: there is no such object.
            StorageError: the store failed.
        """
        try:
            if self._folder is not None and _PLAIN_KEY.fullmatch(key):
                with open(f"{self._folder}/{key}", "rb", buffering=0) as file:  # noqa: PTH123  # a Path costs more
                    return file.read()
            return bytes(obstore.get(self._store, key).bytes())
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise FileNotFoundError(f"There is no object {key!r} in {self.url}.") from None
        except (BaseError, OSError, ValueError) as error:
            raise self._failure("read", key, error) from None

    def delete(self, key: str) -> None:
        """Remove the object under `key`, if there is one.

        Raises:
            StorageError: the store failed.
        """
        try:
            obstore.delete(self._store, key)
        except FileNotFoundError:
            return
        except (BaseError, OSError, ValueError) as error:
            raise self._failure("delete", key, error) from None

    def keys(self, prefix: str = "") -> list[str]:
        """Return the keys below `prefix`, sorted.

        Raises:
            StorageError: the store failed.
        """
        try:
            return sorted(entry["path"] for page in obstore.list(self._store, prefix) for entry in page)
        except (BaseError, OSError, ValueError) as error:
            raise self._failure("list", prefix, error) from None

    def keys_before(self, prefix: str, moment: float) -> Iterator[str]:
        """Yield the keys below `prefix` whose objects were stored before `moment`, in seconds since the epoch.

        The store's clock says when an object was stored.

        Raises:
            StorageError: the store failed.
        """
        try:
            for page in obstore.list(self._store, prefix):
                for entry in page:
                    if entry["last_modified"].timestamp() < moment:
                        yield entry["path"]
        except (BaseError, OSError, ValueError) as error:
            raise self._failure("list", prefix, error) from None

    @staticmethod
    def _write(path: str, data: bytes) -> None:
        try:
            atomic.write(path, data)
        except FileNotFoundError:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            atomic.write(path, data)

    def _failure(self, operation: str, key: str, error: Exception) -> StorageError:
        if any(text in str(error) for text in NO_SPACE):
            return StorageFullError(f"No room is left in {self.url} to {operation} {key!r}: free some space.")
        return StorageError(f"{self.url} could not {operation} {key!r}: {_first_line(error)}")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
