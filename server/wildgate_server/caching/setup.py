"""The verdict cache of the settings: which stores there are, and what keeps them from being had."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wildgate_server.caching.verdict_cache import CacheSettings, MemoryStore, VerdictCache, VerdictStore
from wildgate_server.errors import StartError
from wildgate_server.metrics import Metrics

if TYPE_CHECKING:
    from wildgate_server.caching.redis_verdicts import RedisStore

__all__ = ["redis_store", "verdict_cache"]


def redis_store(settings: CacheSettings, *, lookups: int) -> RedisStore | None:
    """The Redis of the settings, for so many lookups at once; it need not be there yet.

    Raises StartError for what is not the URL of a Redis, and where Redis's client is not installed.
    """
    if settings.redis_url is None:
        return None
    try:
        from wildgate_server.caching.redis_verdicts import BadRedisUrl, RedisStore
    except ModuleNotFoundError as missing:
        if (missing.name or "").startswith("wildgate"):
            raise  # a broken installation, not a missing extra
        raise StartError(
            f"cache.redis_url: needs {missing.name}; install it with: pip install 'wildgate[redis]'"
        ) from None
    try:
        return RedisStore(settings.redis_url.get_secret_value(), settings.redis_timeout_ms / 1e3, lookups=lookups)
    except BadRedisUrl as error:
        raise StartError(f"cache.redis_url: {error}") from error


def verdict_cache(settings: CacheSettings, redis: RedisStore | None, metrics: Metrics) -> VerdictCache | None:
    """The cache with what there is to keep verdicts in, or None where there is nothing."""
    stores: list[VerdictStore] = []
    if settings.max_entries:
        memory = MemoryStore(settings.max_entries, settings.max_mb << 20)
        metrics.gauge("wildgate_cache_entries", "Verdicts kept in memory.", lambda: memory.entries)
        metrics.gauge("wildgate_cache_bytes", "Bytes that these take.", lambda: memory.size_bytes)
        stores.append(memory)
    if redis:
        metrics.gauge(
            "wildgate_cache_redis_left_alone",
            "1 while Redis has failed so often that it is hardly asked.",
            lambda: redis.left_alone,
        )
        stores.append(redis)
    return VerdictCache(stores, settings.ttl_s, metrics.cache) if stores else None
