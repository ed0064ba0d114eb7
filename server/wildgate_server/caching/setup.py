"""The verdict cache of the settings, with the stores it has."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from wildgate_server.caching.verdict_cache import CacheSettings, MemoryStore, VerdictCache, VerdictStore
from wildgate_server.errors import StartError
from wildgate_server.metrics import Metrics

__all__ = ["verdict_cache"]


@asynccontextmanager
async def verdict_cache(
    settings: CacheSettings, metrics: Metrics, *, lookups: int
) -> AsyncIterator[VerdictCache | None]:
    """The cache, for `lookups` at once, while the context lasts; None where there is nothing to keep verdicts in.

    A Redis need not be there yet. Raises StartError for what is not the URL of one, and where its client is not
    installed.
    """
    stores: list[VerdictStore] = []
    if settings.max_entries:
        memory = MemoryStore(settings.max_entries, settings.max_mb << 20)
        metrics.gauge("wildgate_cache_entries", "Verdicts kept in memory.", lambda: memory.entries)
        metrics.gauge("wildgate_cache_bytes", "Bytes that these take.", lambda: memory.size_bytes)
        stores.append(memory)
    if settings.redis_url is None:
        yield VerdictCache(stores, settings.ttl_s, metrics) if stores else None
        return
    try:
        from wildgate_server.caching.redis_verdicts import RedisStore
    except ModuleNotFoundError as missing:
        if (missing.name or "").startswith("wildgate"):
            raise  # a broken installation, not a missing extra
        remedy = "install it with: pip install 'wildgate[redis]'"
        raise StartError(f"cache.redis_url: needs {missing.name}; {remedy}") from None
    redis = RedisStore(settings.redis_url.get_secret_value(), settings.redis_timeout_ms / 1e3, lookups=lookups)
    metrics.gauge(
        "wildgate_cache_redis_left_alone",
        "1 while Redis has failed so often that it is hardly asked.",
        lambda: redis.left_alone,
    )
    try:
        yield VerdictCache([*stores, redis], settings.ttl_s, metrics)
    finally:
        await redis.close()
