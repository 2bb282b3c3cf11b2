"""The runner of the ledger's Lua scripts, on a connection of its own."""

import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError

from app.errors import FleetError

if TYPE_CHECKING:
    from redis import Redis
    from redis.commands.core import Script


@lru_cache
def source(name: str) -> str:
    """Return the Lua source of a step, with what the steps share.

    A server that has no memory left runs every step: they make room, or little use of it. Only `open` needs more, and
    refuses by itself while there is some left.
    """
    folder = files("app.ledger")
    parts = (folder.joinpath(f"{part}.lua").read_text() for part in ("window", name))
    return "\n".join(("#!lua flags=allow-oom", *parts))


class Steps:
    """Lua scripts by name; safe to use from several threads.

    A step usually goes over one connection that is kept for the steps: redis-py's work around a command (its pool, its
    retries and metrics) costs more than the command, and each document needs two steps. If that connection is busy,
    broken or missing, the client runs the step, with its retries. A step whose reply was lost runs a second time.
    """

    def __init__(self, client: "Redis", sources: Mapping[str, str]) -> None:
        self._pool: Any = client.connection_pool
        self._scripts: dict[str, Script] = {
            name: client.register_script(source) for name, source in sources.items()
        }
        self._turn = threading.Lock()
        self._connection: Any = None
        self._connected = False

    def run(self, step: str, args: Sequence[Any]) -> Any:
        """Run a step and return its reply.

        Raises:
            ServerError: the server does not answer within the client's retries, or refuses the step.
        """
        script = self._scripts[step]
        if not self._turn.acquire(blocking=False):
            return script(args=args)
        try:
            if self._connected:
                try:
                    self._connection.send_command("EVALSHA", script.sha, 0, *args)
                    return self._connection.read_response()
                except BaseException as error:
                    # Also after the exception of a signal handler, or the next step would read the unread reply.
                    self._connected = False
                    self._connection.disconnect()
                    if not isinstance(error, RedisError):
                        raise
                    # The server is away, or it was restarted and has no scripts; the client handles both.
            reply = script(args=args)
            self._connect()
            return reply
        finally:
            self._turn.release()

    def _connect(self) -> None:
        with suppress(RedisError, FleetError):
            if self._connection is None:
                self._connection = self._pool.get_connection()
            else:
                self._connection.connect()
            self._connected = True
