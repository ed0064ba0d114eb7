"""Verdicts that are kept: found, bounded, over in time, and never another one's."""

from __future__ import annotations

import tracemalloc

import pytest
from event_loop import Clock

from wildgate_server.caching.verdict_cache import Kept, Lookup, MemoryStore, VerdictCache
from wildgate_server.metrics import Metrics

TTL_S = 60.0
SECRET = b"a secret of the fleet"
DAY_S = 86_400.0


class SlowStore:
    """A store behind the first one, that other gateways share."""

    tier = "redis"

    def __init__(self) -> None:
        self.kept: dict[str, Kept] = {}
        self.asked = 0
        self.says: Lookup | None = None

    async def get(self, key: str) -> Kept | Lookup:
        self.asked += 1
        return self.says or self.kept.get(key, Lookup.MISS)

    async def put(self, key: str, kept: Kept) -> None:
        self.kept[key] = kept


def verdict(name: str = "v", size: int = 0) -> bytes:
    return name.encode() + bytes(size)


@pytest.fixture
def clock() -> Clock:
    return Clock(1000.0)


@pytest.fixture
def memory(clock: Clock) -> MemoryStore:
    return MemoryStore(max_entries=3, max_bytes=1 << 20, clock=clock)


@pytest.fixture
def slow() -> SlowStore:
    return SlowStore()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def cache(memory: MemoryStore, slow: SlowStore, metrics: Metrics, clock: Clock) -> VerdictCache:
    return VerdictCache([memory, slow], TTL_S, metrics, SECRET, clock)


def lookups(metrics: Metrics) -> dict[tuple[str, str], float]:
    [family] = [family for family in metrics.registry.collect() if family.name == "wildgate_cache_lookups"]
    return {
        (sample.labels["tier"], sample.labels["outcome"]): sample.value
        for sample in family.samples
        if sample.name.endswith("_total")
    }


async def test_what_was_kept_is_found_and_nothing_else(cache: VerdictCache, metrics: Metrics) -> None:
    assert await cache.find("a") is None
    await cache.keep("a", verdict())
    assert await cache.find("a") == verdict()
    assert await cache.find("b") is None
    assert lookups(metrics) == {("memory", "miss"): 2, ("memory", "hit"): 1, ("redis", "miss"): 2}


async def test_a_verdict_s_time_ends(cache: VerdictCache, slow: SlowStore, clock: Clock) -> None:
    await cache.keep("a", verdict())
    slow.kept.clear()
    clock.now += TTL_S - 0.01
    assert await cache.find("a") is not None
    clock.now += 0.01
    assert await cache.find("a") is None


async def test_being_asked_for_does_not_lengthen_its_time(cache: VerdictCache, slow: SlowStore, clock: Clock) -> None:
    await cache.keep("a", verdict())
    slow.kept.clear()
    for _ in range(6):
        assert await cache.find("a") is not None
        clock.now += TTL_S / 6
    assert await cache.find("a") is None


async def test_what_another_gateway_kept_is_found_here_for_the_rest_of_its_time(
    cache: VerdictCache, slow: SlowStore, clock: Clock
) -> None:
    await cache.keep("a", verdict())
    other = MemoryStore(10, 1 << 20, clock)
    slow.kept["a"] = Kept(slow.kept["a"].value, clock.now + 5.0)
    elsewhere = VerdictCache([other, slow], TTL_S, Metrics(), SECRET)
    assert await elsewhere.find("a") == verdict()
    assert await elsewhere.find("a") == verdict()
    assert slow.asked == 1, "the second time it was in memory"
    slow.kept.clear()
    clock.now += 5.0
    assert await elsewhere.find("a") is None


async def test_the_least_recently_used_goes_first(memory: MemoryStore) -> None:
    for key in "abc":
        await memory.put(key, Kept(b"", DAY_S))
    await memory.get("a")
    await memory.put("d", Kept(b"", DAY_S))
    assert [isinstance(await memory.get(key), Kept) for key in "abcd"] == [True, False, True, True]
    assert memory.entries == 3


async def test_putting_one_anew_pushes_no_other_out(memory: MemoryStore) -> None:
    for key in "abcc":
        await memory.put(key, Kept(b"", DAY_S))
    assert [isinstance(await memory.get(key), Kept) for key in "abc"] == [True, True, True]


async def test_bytes_are_bounded_and_what_is_too_large_is_not_kept(clock: Clock) -> None:
    memory = MemoryStore(1000, 10_000, clock)
    for number in range(100):
        await memory.put(str(number), Kept(bytes(1000), DAY_S))
        assert memory.size_bytes <= 10_000
    assert memory.entries == 6
    await memory.put("large", Kept(bytes(10_000), DAY_S))
    assert await memory.get("large") is Lookup.MISS
    assert memory.entries == 6, "and nothing went for it"


async def test_what_is_over_makes_room_before_what_is_not(memory: MemoryStore, clock: Clock) -> None:
    await memory.put("short", Kept(b"", clock.now + 1.0))
    await memory.put("b", Kept(b"", DAY_S))
    await memory.put("c", Kept(b"", DAY_S))
    await memory.get("short")
    clock.now += 1.0
    await memory.put("d", Kept(b"", DAY_S))
    assert [isinstance(await memory.get(key), Kept) for key in ("short", "b", "c", "d")] == [False, True, True, True]


async def test_figures_are_what_entries_take() -> None:
    """The bound on bytes is on what Python really takes, within a tenth."""
    count, size = 4000, 1500
    memory = MemoryStore(count, 1 << 30)
    tracemalloc.start()
    try:
        for number in range(count):
            await memory.put(f"{number:064x}", Kept(bytes(size), 1e9 + number))
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert memory.entries == count
    assert memory.size_bytes == pytest.approx(taken, rel=0.1)


async def damaged_values(cache: VerdictCache, slow: SlowStore) -> list[bytes]:
    await cache.keep("a", verdict("a", 100))
    await cache.keep("b", verdict("b", 100))
    good = slow.kept["a"].value
    await VerdictCache([slow], TTL_S, Metrics(), b"somebody's guess").keep("a", verdict("a", 100))
    forged = slow.kept["a"].value
    return [b"", b"garbage", good[:-1], good + b"\0", good[:40] + b"?" + good[41:], slow.kept["b"].value, forged]


async def test_a_damaged_foreign_or_forged_value_is_a_miss(clock: Clock, slow: SlowStore, metrics: Metrics) -> None:
    values = await damaged_values(VerdictCache([slow], TTL_S, Metrics(), SECRET), slow)
    memory = MemoryStore(10, 1 << 20, clock)
    cache = VerdictCache([memory, slow], TTL_S, metrics, SECRET)
    for value in values:
        slow.kept["a"] = Kept(value, DAY_S)
        assert await cache.find("a") is None
    assert lookups(metrics)["redis", "failed"] == len(values)
    assert memory.entries == 0, "and is not passed on"


async def test_a_store_that_could_not_be_asked_is_counted_so(
    cache: VerdictCache, slow: SlowStore, metrics: Metrics
) -> None:
    for slow.says in (Lookup.FAILED, Lookup.SKIPPED, Lookup.SKIPPED):
        assert await cache.find("a") is None
    assert lookups(metrics) == {("memory", "miss"): 3, ("redis", "failed"): 1, ("redis", "skipped"): 2}
