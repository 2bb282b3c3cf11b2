"""The ledger's atomic steps, Lua scripts, on a connection of their own."""

import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError

from app.errors import FleetError

if TYPE_CHECKING:
    from redis import Redis
    from redis.commands.core import Script


class Steps:
    """Lua scripts by name; safe to use from several threads.

    A step usually goes over one connection that is kept for the steps: redis-py's work around a command (its pool, its
    retries and metrics) costs more than the command, and a document takes two of them. If that connection is busy,
    broken or missing, the client runs the step, with its retries. Every step may run twice, as after any lost reply.
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
            ServerError: the server stays away longer than the client retries, or refuses.
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
                    # After a signal handler's exception too: the next step would read the unread reply.
                    self._connected = False
                    self._connection.disconnect()
                    if not isinstance(error, RedisError):
                        raise
                    # The server is away, or it is back and has no scripts.
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
