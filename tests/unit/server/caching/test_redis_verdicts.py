"""Verdicts in Redis: kept in a real one, and done without where it dies, hangs or talks nonsense."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from event_loop import Clock
from redis_under_test import RealRedis, answering, pretending, real_redis, silence
from structlog.testing import capture_logs

from wildgate_server.caching.redis_verdicts import RedisStore
from wildgate_server.caching.verdict_cache import Kept, Lookup, VerdictCache
from wildgate_server.errors import StartError
from wildgate_server.metrics import Metrics

PATIENT_S = 30.0  # where an answer is to come
DAY_S = 86_400.0
VERDICT = b"an encoded verdict"
KEPT = Kept(b"value", DAY_S)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RealRedis]:
    server = real_redis(tmp_path)
    server.start()
    yield server
    server.kill()


@asynccontextmanager
async def store_at(
    url: str, timeout_s: float = PATIENT_S, clock: Clock | None = None, lookups: int = 8
) -> AsyncIterator[RedisStore]:
    store = RedisStore(url, timeout_s, lookups=lookups, clock=clock or Clock())
    try:
        yield store
    finally:
        await store.close()


async def put(store: RedisStore, key: str, kept: Kept = KEPT) -> None:
    """Puts and waits until it is there."""
    await store.put(key, kept)
    while store.writes:
        await asyncio.sleep(0.005)


async def say(redis: RealRedis, *commands: tuple[bytes, bytes]) -> None:
    """Sends Redis these commands, and expects these answers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", redis.port)
    for command, answer in commands:
        writer.write(command + b"\r\n")
        assert await reader.readline() == answer + b"\r\n"
    writer.close()
    await writer.wait_closed()


async def test_what_one_gateway_keeps_another_finds(redis: RealRedis) -> None:
    async with store_at(redis.url) as here, store_at(redis.url) as there:
        caches = [VerdictCache([store], DAY_S, Metrics(), b"of the fleet") for store in (here, there)]
        assert await caches[1].find("a") is None
        await caches[0].keep("a", VERDICT)
        while here.writes:
            await asyncio.sleep(0.005)
        assert await caches[1].find("a") == VERDICT
        assert await caches[1].find("b") is None


async def test_redis_ends_a_verdict_s_time(redis: RealRedis) -> None:
    async with store_at(redis.url) as store:
        await put(store, "a", Kept(b"value", 100.0))
        found = await store.get("a")
        assert isinstance(found, Kept)
        assert found.value == b"value"
        assert 90 < found.expires <= 100
        await put(store, "b", Kept(b"value", 0.001))
        while isinstance(await store.get("b"), Kept):
            await asyncio.sleep(0.005)
        assert await store.get("b") is Lookup.MISS


async def test_what_is_kept_without_an_end_was_not_kept_by_us(redis: RealRedis) -> None:
    async with store_at(redis.url) as store:
        await say(redis, (b"SET wildgate:verdict:a value", b"+OK"), (b"LPUSH wildgate:verdict:list value", b":1"))
        assert await store.get("a") is Lookup.MISS
        assert await store.get("list") is Lookup.FAILED, "not a string: Redis answers with an error"
        assert await store.get("a") is Lookup.MISS, "and goes on"


async def test_values_are_bounded_both_ways(redis: RealRedis) -> None:
    large = 3 << 20
    async with store_at(redis.url) as store:
        await put(store, "a", Kept(bytes(large), DAY_S))
        assert await store.get("a") is Lookup.MISS, "not sent"
        await say(
            redis,
            (b"SETRANGE wildgate:verdict:b %d x" % large, b":%d" % (large + 1)),
            (b"PEXPIRE wildgate:verdict:b 100000", b":1"),
        )
        found = await store.get("b")
        assert isinstance(found, Kept)
        assert len(found.value) < large, "not fetched whole; its seal cannot fit"
        assert await VerdictCache([store], DAY_S, Metrics()).find("b") is None


async def test_a_redis_that_dies_is_a_miss_and_comes_back(redis: RealRedis) -> None:
    clock = Clock()
    async with store_at(redis.url, clock=clock) as store:
        await put(store, "a")
        assert isinstance(await store.get("a"), Kept)
        redis.kill()
        with capture_logs() as logs:
            said = [await store.get("a") for _ in range(5)]
        assert said == [Lookup.FAILED] * 3 + [Lookup.SKIPPED] * 2
        assert store.left_alone
        assert [line["event"] for line in logs] == ["redis_left_alone"], "said once, not with every video"
        await store.put("b", KEPT)
        assert not store.writes, "nothing is tried"

        redis.start()
        assert await store.get("a") is Lookup.SKIPPED
        clock.now += 1.0
        with capture_logs() as logs:
            assert await store.get("a") is Lookup.MISS, "it kept nothing on disk"
        assert [line["event"] for line in logs] == ["redis_is_back"]
        await put(store, "a")
        assert isinstance(await store.get("a"), Kept)


async def test_a_redis_that_hangs_or_is_away_costs_its_time_a_few_times_and_then_nothing() -> None:
    async with pretending(silence) as hanging:
        for url in (hanging, "redis://127.0.0.1:1"):
            async with store_at(url, timeout_s=0.05) as store:
                said = [await store.get(str(number)) for number in range(1000)]
                assert said == [Lookup.FAILED] * 3 + [Lookup.SKIPPED] * 997


async def test_a_redis_that_hangs_holds_up_neither_writers_nor_the_end() -> None:
    async with pretending(silence) as url:
        async with store_at(url, timeout_s=0.2) as store:
            for number in range(200):
                await store.put(str(number), KEPT)
            assert len(store.writes) == 64, "bounded"
        assert not store.writes


@pytest.mark.parametrize(
    "answers",
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n",),
        (b"\x00\xff\xfe garbage without an end",),
        (b"$-1\r\n$-1\r\n",),
        (b"$5\r\nvalue\r\n+OK\r\n",),
        (b":1\r\n:2\r\n",),
        (b"*2\r\n$1\r\na\r\n",),
        (b"$99999999999\r\nx",),
        (b"-LOADING Redis is loading the dataset in memory\r\n" * 2,),
        (b"-NOAUTH Authentication required.\r\n" * 2,),
        (),
    ],
    ids=repr,
)
async def test_what_is_no_redis_is_never_more_than_a_miss(answers: tuple[bytes, ...]) -> None:
    async with pretending(answering(*answers)) as url, store_at(url, timeout_s=0.3) as store:
        said = [await store.get("a") for _ in range(4)]
        assert not any(isinstance(each, Kept) for each in said)
        assert Lookup.FAILED in said or Lookup.MISS in said
        await store.put("a", KEPT)


async def test_a_caller_that_leaves_gives_nobody_its_answer(redis: RealRedis) -> None:
    """A connection that is let go of with an answer on the way would give that to the next command."""
    async with store_at(redis.url) as store:
        for name in "ab":
            await put(store, name, Kept(name.encode(), DAY_S))
        for _ in range(50):
            leaving = asyncio.create_task(store.get("a"))
            for _ in range(4):
                await asyncio.sleep(0)
            leaving.cancel()
            found, _ = await asyncio.gather(store.get("b"), leaving, return_exceptions=True)
            assert isinstance(found, Kept)
            assert found.value == b"b"
        assert not store.left_alone


async def test_many_at_once_share_few_connections(redis: RealRedis) -> None:
    async with store_at(redis.url) as store:
        await put(store, "a")
        found = await asyncio.gather(*(store.get("a") for _ in range(300)))
        assert all(isinstance(each, Kept) for each in found)


async def test_as_many_lookups_as_there_may_be_wait_for_no_connection() -> None:
    """A wait would count as a failure of a Redis that is well: this one answers when all have asked."""
    lookups, writes = 70, 10
    asked = 0
    all_asked = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        command = await reader.read(1 << 16)
        asked += 1
        if asked == lookups + writes:
            all_asked.set()
        await all_asked.wait()
        writer.write(b"$5\r\nvalue\r\n:1000\r\n" if b"GETRANGE" in command else b"+OK\r\n")
        await writer.drain()
        await reader.read()

    async with pretending(serve) as url, store_at(url, timeout_s=5, lookups=lookups) as store:
        for number in range(writes):
            await store.put(str(number), KEPT)
        found = await asyncio.gather(*(store.get(str(number)) for number in range(lookups)))
        assert all(isinstance(each, Kept) for each in found)
        assert not store.left_alone


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:6379",
        "http://secret@host",
        "redis://",
        "redis://:6379",
        "redis://user:secret@host:port",
        "redis://host:0",
        "redis://host/secret",
        "redis://host?socket_timeout=secret",
        "redis://host?secret=1",
        "unix://",
    ],
)
def test_a_url_that_is_none_is_refused_and_not_quoted(url: str) -> None:
    with pytest.raises(StartError, match="redis://") as refusal:
        RedisStore(url, 1.0, lookups=8)
    assert "secret" not in str(refusal.value)
    assert refusal.value.__cause__ is None


@pytest.mark.parametrize(
    "url", ["redis://host", "redis://user:pass%2Fword@host:1/2", "rediss://host/", "unix:///run/redis.sock?db=1"]
)
async def test_urls_of_redis(url: str) -> None:
    async with store_at(url):
        pass
