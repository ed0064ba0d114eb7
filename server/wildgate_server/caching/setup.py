"""The verdict cache of the settings, with the stores it has."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from wildgate_server.caching.verdict_cache import CacheSettings, MemoryStore, VerdictCache, VerdictStore
from wildgate_server.errors import SettingsConflict, StartError
from wildgate_server.metrics import Metrics
from wildgate_server.secret_file import secret_in

__all__ = ["verdict_cache"]

_LEAST_SECRET_BYTES = 16


@asynccontextmanager
async def verdict_cache(
    settings: CacheSettings, metrics: Metrics, *, lookups: int
) -> AsyncIterator[VerdictCache | None]:
    """The cache, for `lookups` at once, while the context lasts; None where there is nothing to keep verdicts in.

    A Redis need not be there yet. Raises StartError for what is not the URL of one, and where its client is not
    installed.
    """
    secret = secret_in(settings.secret_file, "cache.secret_file", _LEAST_SECRET_BYTES) if settings.secret_file else None
    stores: list[VerdictStore] = []
    if settings.max_entries:
        memory = MemoryStore(settings.max_entries, settings.max_mb << 20)
        metrics.gauge("wildgate_cache_entries", "Verdicts kept in memory.", lambda: memory.entries)
        metrics.gauge("wildgate_cache_bytes", "Bytes that these take.", lambda: memory.size_bytes)
        stores.append(memory)
    if settings.redis_url is None:
        yield VerdictCache(stores, settings.ttl_s, metrics, secret) if stores else None
        return
    if secret is None:
        raise SettingsConflict("cache.redis_url wants a cache.secret_file: who can write there could forge verdicts")
    password = None
    if settings.redis_password_file:
        password = secret_in(settings.redis_password_file, "cache.redis_password_file").decode(errors="replace")
    try:
        from wildgate_server.caching.redis_verdicts import RedisStore
    except ModuleNotFoundError as missing:
        if (missing.name or "").startswith("wildgate"):
            raise  # a broken installation, not a missing extra
        remedy = "install it with: pip install 'wildgate[redis]'"
        raise StartError(f"cache.redis_url: needs {missing.name}; {remedy}") from None
    redis = RedisStore(
        settings.redis_url.get_secret_value(),
        settings.redis_timeout_ms / 1e3,
        lookups=lookups,
        password=password,
    )
    metrics.gauge(
        "wildgate_cache_redis_left_alone",
        "1 while Redis has failed so often that it is hardly asked.",
        lambda: redis.left_alone,
    )
    try:
        yield VerdictCache([*stores, redis], settings.ttl_s, metrics, secret)
    finally:
        await redis.close()
