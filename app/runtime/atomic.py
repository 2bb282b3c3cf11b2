"""Files that appear whole or not at all."""

import os
import random
from contextlib import suppress
from pathlib import Path


def write(path: Path | str, data: bytes) -> None:
    """Write a file so that another process sees the old content or the new, and nothing between.

    What a killed process leaves behind is named "NAME#DIGITS": obstore knows such names and lists none of them.

    Raises:
        OSError: the directory is missing, cannot be written, or is full; what was there stays.
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
