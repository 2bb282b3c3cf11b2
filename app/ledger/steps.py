"""The ledger's atomic steps, run on a connection that is kept for them."""

import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError

if TYPE_CHECKING:
    from redis import Redis
    from redis.commands.core import Script


class Steps:
    """Lua scripts by name; safe to use from several threads.

    A step usually goes over one connection that is kept for them: what redis-py does around a command (the look
    into its pool, the bookkeeping of retries and metrics) costs more than the command, and a document takes two
    of them. While that connection is busy, fails or is not there, the client runs the step with all its patience.
    Every step may run twice, as it must after any lost reply.
    """

    def __init__(self, client: "Redis", sources: Mapping[str, str]) -> None:
        self._pool: Any = client.connection_pool
        self._scripts: dict[str, Script] = {
            name: client.register_script(source) for name, source in sources.items()
        }
        self._turn = threading.Lock()
        self._connection: Any = None
        self._connected = False

    def run(self, step: str, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """Run a step and return its reply.

        Raises:
            RedisError: when the server stays away longer than the client's patience.
        """
        script = self._scripts[step]
        if not self._turn.acquire(blocking=False):
            return script(keys=keys, args=args)
        try:
            if self._connected:
                try:
                    self._connection.send_command("EVALSHA", script.sha, len(keys), *keys, *args)
                    return self._connection.read_response()
                except BaseException as error:
                    # Also where a signal's handler raised: a reply that nobody read would be the next step's.
                    self._connected = False
                    self._connection.disconnect()
                    if not isinstance(error, RedisError):
                        raise
                    # The server is away, or is back and knows no scripts.
            reply = script(keys=keys, args=args)
            self._connect()
            return reply
        finally:
            self._turn.release()

    def _connect(self) -> None:
        with suppress(RedisError):
            if self._connection is None:
                self._connection = self._pool.get_connection()
            else:
                self._connection.connect()
            self._connected = True
