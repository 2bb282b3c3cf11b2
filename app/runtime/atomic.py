"""Atomic writes of files."""

import os
import random
from contextlib import suppress
from pathlib import Path


def write(path: Path | str, data: bytes) -> None:
    """Write a file atomically: another process sees either the old content or the new.

    A process that is killed during the write leaves a file "NAME#DIGITS", which obstore's listings omit.

    Raises:
        OSError: the directory is missing, read-only or full; the old content stays.
    """
    part = f"{path}#{random.getrandbits(63)}"
    try:
        with open(part, "xb") as file:  # noqa: PTH123  # a Path would cost more than the call
            file.write(data)
        os.replace(part, path)  # noqa: PTH105
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(part)  # noqa: PTH108
        raise
