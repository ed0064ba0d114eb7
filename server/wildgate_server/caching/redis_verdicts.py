"""Verdicts kept in Redis, for a fleet of gateways: the one place that speaks to it.

Redis is a help and never a need: each command has a short time, what fails is a miss, and a Redis that keeps failing
is left alone for a while. How much it keeps, and what goes first, is Redis's own configuration (`maxmemory`,
`maxmemory-policy`); each verdict's time is set with it. Who can write there can take verdicts away, but forge none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from time import monotonic
from typing import Any, cast
from urllib.parse import urlsplit

import structlog
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from wildgate_server.caching.circuit_breaker import CircuitBreaker
from wildgate_server.caching.verdict_cache import Kept, Lookup
from wildgate_server.errors import StartError

__all__ = ["RedisStore"]

_log = structlog.get_logger()

_PREFIX = "wildgate:verdict:"
_MAX_VALUE_BYTES = 1 << 20
_MAX_WRITES = 64  # under way at a time; a verdict past them is not kept here


class RedisStore:
    """Keeps values in the Redis at `url`: `redis://`, `rediss://` (TLS) or `unix://`, redis-py's form.

    A command, connecting included, may take `timeout_s`. `lookups` is how many may be under way at a time: each has a
    connection for itself, and so has each write, because waiting for one would look like a Redis that is slow. `clock`
    returns monotonic seconds. `writes` are those under way. Whether the Redis is there is not asked. Raises StartError
    for what is not the URL of one, without quoting it, since it may hold a password.
    """

    tier = "redis"

    def __init__(
        self,
        url: str,
        timeout_s: float,
        *,
        lookups: int,
        password: str | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._pool = _pool(url, password, timeout_s, lookups + _MAX_WRITES)
        self._redis = Redis(connection_pool=self._pool)
        self._timeout_s = timeout_s
        self._clock = clock
        self._breaker = CircuitBreaker(clock=clock)
        self.writes: set[asyncio.Task[None]] = set()

    @property
    def left_alone(self) -> bool:
        """Whether it has failed so often that it is hardly asked."""
        return self._breaker.open

    async def get(self, key: str) -> Kept | Lookup:
        """What was kept under the key; a value longer than any verdict counts as none, and is not fetched whole."""
        if not self._breaker.allows():
            return Lookup.SKIPPED
        answer = await self._asked(self._found(_PREFIX + key))
        if answer is None:
            return Lookup.FAILED
        value, left_ms = answer
        if not value or left_ms <= 0:
            return Lookup.MISS
        return Kept(value, self._clock() + left_ms / 1e3)

    async def put(self, key: str, kept: Kept) -> None:
        """Starts keeping a value, without waiting for it."""
        if len(kept.value) > _MAX_VALUE_BYTES or len(self.writes) >= _MAX_WRITES or not self._breaker.allows():
            return
        write = asyncio.create_task(self._put(key, kept), name="redis-write")
        self.writes.add(write)
        write.add_done_callback(self.writes.discard)

    async def close(self) -> None:
        """Waits for what is being kept, then leaves."""
        await asyncio.gather(*self.writes, return_exceptions=True)
        await self._redis.aclose()
        await self._pool.aclose()

    async def _found(self, key: str) -> tuple[bytes, int]:
        async with self._redis.pipeline(transaction=False) as commands:
            commands.getrange(key, 0, _MAX_VALUE_BYTES)
            commands.pttl(key)
            value, left_ms = await commands.execute()
        if not isinstance(value, bytes) or not isinstance(left_ms, int):
            raise TypeError(f"Redis answered {type(value).__name__} and {type(left_ms).__name__}")
        return value, left_ms

    async def _put(self, key: str, kept: Kept) -> None:
        left_ms = max(round((kept.expires - self._clock()) * 1e3), 1)
        await self._asked(cast("Coroutine[Any, Any, object]", self._redis.set(_PREFIX + key, kept.value, px=left_ms)))

    async def _asked(self, command: Coroutine[Any, Any, Any]) -> Any | None:
        """The command's result; None when it fails or takes too long."""
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await command
        except Exception as error:  # whatever a Redis, or what pretends to be one, may do, no request pays for it
            was_open = self._breaker.open
            self._breaker.failed()
            if self._breaker.open and not was_open:
                reason = "too slow" if isinstance(error, TimeoutError) else f"{type(error).__name__}: {error}"
                _log.warning("redis_left_alone", error=reason)
            return None
        if self._breaker.open:
            _log.info("redis_is_back")
        self._breaker.succeeded()
        return answer


def _pool(url: str, password: str | None, timeout_s: float, connections: int) -> BlockingConnectionPool:
    try:
        parts = urlsplit(url)
        whole = parts.path if parts.scheme == "unix" else parts.hostname and (parts.port is None or parts.port > 0)
        database = parts.path.removeprefix("/")
        if not whole or (parts.scheme != "unix" and database and not database.isdecimal()):
            raise ValueError("it is not whole")
        pool = BlockingConnectionPool.from_url(
            url,
            password=password,  # one in the URL comes before
            max_connections=connections,
            timeout=timeout_s,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),  # the time of one command is too short for a second try
            protocol=2,
            driver_info=None,
        )
        pool.make_connection()  # type: ignore[no-untyped-call]  # not connected: refuses unknown parameters
    except (ValueError, TypeError) as error:
        what = "has an unknown parameter" if isinstance(error, TypeError) else "is not that of a Redis"
        forms = "redis://[user:password@]HOST[:PORT][/DATABASE], rediss:// or unix://"
        raise StartError(f"cache.redis_url: the URL {what}; it is {forms}") from None
    return pool
