"""Verdicts that are kept: a video that was scored is not scored again.

Stores are interchangeable: in memory for one gateway, shared for a fleet. What they keep is an encoded verdict without
what is one request's alone (timings, evidence), sealed with its key by a MAC that takes a secret, so that a value that
was damaged, cut short, forged or came for another key is a miss and never a verdict.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from time import monotonic
from typing import Protocol

from blake3 import blake3
from cachetools import Cache, TLRUCache
from pydantic import Field, SecretStr

from wildgate_server.config_section import ConfigSection
from wildgate_server.metrics import Metrics

__all__ = ["CacheSettings", "Kept", "Lookup", "MemoryStore", "VerdictCache", "VerdictStore"]

_ENTRY_BYTES = 480  # measured: what an entry takes in TLRUCache besides its value
_SEAL_BYTES = 16
_SEAL_CONTEXT = "wildgate 2026-11-28 seal of kept verdicts"


class Lookup(StrEnum):
    """What a store said."""

    HIT = "hit"
    MISS = "miss"
    FAILED = "failed"
    """It could not be asked, or what it answered is not a verdict."""
    SKIPPED = "skipped"
    """It was not asked, because it has failed too often."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A value, and when its time is over, in monotonic seconds."""

    value: bytes
    expires: float


class VerdictStore(Protocol):
    """Where values are kept. It never raises: what it cannot find or keep is gone."""

    tier: str

    async def get(self, key: str) -> Kept | Lookup:
        """What was kept under the key, or why there is nothing."""

    async def put(self, key: str, kept: Kept) -> None:
        """Keeps a value; others may have to go."""


class CacheSettings(ConfigSection):
    """Verdicts that are kept, and equal videos that are scored once."""

    max_entries: int = Field(100_000, ge=0)
    """Verdicts kept in memory, at most. With 0 and without Redis every video is scored by itself, equal ones too."""
    max_mb: int = Field(256, ge=1)
    """Megabytes that these may take."""
    ttl_s: float = Field(3600.0, gt=0)
    """How long a verdict is kept."""
    redis_url: SecretStr | None = None
    """Redis that a fleet shares its verdicts in: `redis://[user:password@]HOST[:PORT][/DATABASE]`, `rediss://` (TLS) or
    `unix://`. It may hold a password: better given by the environment than on the command line."""
    secret_file: Path | None = None
    """A file with the secret, 16 bytes or more, that a fleet's verdicts are sealed with, so that who can write to Redis
    cannot forge one; needed with redis_url."""
    redis_password_file: Path | None = None
    """A file with Redis's password, so that it need not stand in the URL."""
    redis_timeout_ms: float = Field(50.0, gt=0)
    """How long Redis may take; one that takes longer is done without."""


class VerdictCache:
    """Looks verdicts up in `stores`, the fastest first, and keeps new ones in all of them for `ttl_s` seconds.

    With `secret` they are sealed, by default with one that nobody else knows. `clock` returns monotonic seconds.
    """

    def __init__(
        self,
        stores: Sequence[VerdictStore],
        ttl_s: float,
        metrics: Metrics,
        secret: bytes | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._stores = tuple(stores)
        self._ttl_s = ttl_s
        self._metrics = metrics
        self._clock = clock
        self._seal_key = blake3(secret or secrets.token_bytes(32), derive_key_context=_SEAL_CONTEXT).digest()

    async def find(self, key: str) -> bytes | None:
        """The verdict kept under the key; one that a slower store has is kept in the faster ones as well."""
        for place, store in enumerate(self._stores):
            found = await store.get(key)
            if isinstance(found, Lookup):
                self._metrics.looked_up(store.tier, found)
                continue
            verdict = self._unsealed(key, found.value)
            self._metrics.looked_up(store.tier, Lookup.FAILED if verdict is None else Lookup.HIT)
            if verdict is not None:
                for faster in self._stores[:place]:
                    await faster.put(key, found)
                return verdict
        return None

    async def keep(self, key: str, verdict: bytes) -> None:
        """Keeps an encoded verdict."""
        kept = Kept(self._seal(key, verdict) + verdict, self._clock() + self._ttl_s)
        for store in self._stores:
            await store.put(key, kept)

    def _unsealed(self, key: str, value: bytes) -> bytes | None:
        seal, verdict = value[:_SEAL_BYTES], value[_SEAL_BYTES:]
        return verdict if hmac.compare_digest(seal, self._seal(key, verdict)) else None

    def _seal(self, key: str, verdict: bytes) -> bytes:
        """A keyed MAC of both; the key's length goes along, so that none can be moved into the other."""
        name = key.encode()
        return blake3(len(name).to_bytes(4) + name + verdict, key=self._seal_key).digest(_SEAL_BYTES)


class MemoryStore:
    """Keeps values in this process: at most `max_entries` of them and `max_bytes` in all.

    The least recently used one goes first, and each when its time is over. `clock` returns monotonic seconds. `entries`
    and `size_bytes` are figures for other threads: they say what was there after the last value came.
    """

    tier = "memory"

    def __init__(self, max_entries: int, max_bytes: int, clock: Callable[[], float] = monotonic) -> None:
        self._max_entries = max_entries
        self._kept: Cache[str, Kept] = TLRUCache(
            max_bytes,
            ttu=lambda key, kept, now: kept.expires,
            timer=clock,
            getsizeof=lambda kept: len(kept.value) + _ENTRY_BYTES,
        )
        self.entries = 0
        self.size_bytes = 0

    async def get(self, key: str) -> Kept | Lookup:
        """What was kept under the key."""
        return self._kept.get(key) or Lookup.MISS

    async def put(self, key: str, kept: Kept) -> None:
        """Keeps a value; one larger than all the room there is, not."""
        if len(kept.value) + _ENTRY_BYTES > self._kept.maxsize:
            return
        while key not in self._kept and len(self._kept) >= self._max_entries:
            self._kept.popitem()
        self._kept[key] = kept
        # Cache's own len() and currsize clear up what is over, which a thread that scrapes metrics must not do.
        self.entries, self.size_bytes = len(self._kept), int(self._kept.currsize)
