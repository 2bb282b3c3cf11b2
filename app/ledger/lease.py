"""A lease: a key that one process of several holds, for a time that each renewal extends."""

import uuid
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redis import Redis

# A lease must be renewed, and taken over, on a server that has no memory left: it is a key of a hundred bytes.
_HOLD = """#!lua flags=allow-oom
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then
    return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
_RELEASE = """#!lua flags=allow-oom
if redis.call('GET', KEYS[1]) == ARGV[1] then
    redis.call('DEL', KEYS[1])
end
"""


class Lease:
    """A lease on `key`; it expires `seconds` after its holder's last renewal.

    Args:
        client: A client of the server; its errors come from every method.
        key: The key.
        seconds: How long a holder that died keeps others waiting.
    """

    def __init__(self, client: "Redis", key: str, seconds: float) -> None:
        self._client = client
        self._key, self._milliseconds = key, int(seconds * 1_000)
        self.token = uuid.uuid4().hex
        """The value of the key while this process holds the lease."""
        self.held = False
        """Whether the last `hold` succeeded."""

    def hold(self) -> bool:
        """Take the lease if nobody holds it, or renew it; return whether this process holds it now."""
        self.held = False
        reply = self._client.eval(_HOLD, 1, self._key, self.token, self._milliseconds)
        self.held = bool(reply)
        return self.held

    def release(self) -> None:
        """Give the lease up, if this process holds it."""
        if self.held:
            self.held = False
            self._client.eval(_RELEASE, 1, self._key, self.token)
