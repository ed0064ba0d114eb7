"""Equal videos are scored once: kept verdicts, shared scorings and a shared Redis, in whole gateways."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
import pytest_asyncio
from clips import ClipSpec, make_clip
from gateway_under_test import (
    NO_RETRY,
    PATIENCE_S,
    GatewayUnderTest,
    MakeSettings,
    paused,
    running,
    until,
    until_in_flight,
    without_timings,
)
from patch_detector import POLICY
from redis_under_test import RealRedis, pretending, real_redis, silence
from traffic import samples

from wildgate_client import (
    Action,
    Content,
    DeadlineExceeded,
    InvalidRequest,
    InvalidVideo,
    ScoringClient,
    StreamItem,
    Uri,
    Verdict,
    VerdictNotCached,
    content_digest,
)
from wildgate_server.gateway import Gateway, run_gateway

pytestmark = [pytest.mark.triton, pytest.mark.asyncio(loop_scope="session")]

ON = {"max_entries": 1000}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def keeping(make_settings: MakeSettings, allowed_root: Path) -> AsyncIterator[GatewayUnderTest]:
    """A gateway that keeps verdicts, with one sampling worker; each test has its own videos."""
    async with running(make_settings(cache=ON, source={"file_roots": (allowed_root,)})) as gateway:
        yield gateway


def video(number: int) -> Content:
    return Content(make_clip(ClipSpec(seconds=1, first_frame=number)))


def stages(verdict: Verdict) -> set[str]:
    return {timing.stage for timing in verdict.timings}


def alike(verdict: Verdict) -> Verdict:
    """What does not depend on how it was found."""
    return replace(without_timings(verdict), cached=False, evidence=())


def looked_up(gateway: GatewayUnderTest, tier: str, outcome: str) -> float:
    return samples(gateway.metrics, "wildgate_cache_lookups_total").get((outcome, tier), 0)


async def test_a_digest_before_the_video_is_known_and_after(keeping: GatewayUnderTest) -> None:
    content = video(2)
    digest = content_digest(content)
    with pytest.raises(VerdictNotCached) as missing:
        await keeping.client.score_digest(digest)
    assert (missing.value.code, missing.value.field) == (grpc.StatusCode.NOT_FOUND, "content_digest")
    first = await keeping.client.score(content, digest_first=True)
    second = await keeping.client.score(content, digest_first=True)
    assert (first.cached, second.cached, first.content_digest) == (False, True, digest)
    with pytest.raises(InvalidRequest) as malformed:
        await keeping.client.score_digest(digest.upper())
    assert malformed.value.field == "content_digest"


async def test_a_stream_of_equal_videos_is_scored_once(keeping: GatewayUnderTest) -> None:
    before = samples(keeping.metrics, "wildgate_stage_seconds_count")
    items = [StreamItem(str(number), video(3)) for number in range(20)]
    items += [StreamItem(f"no {number}", Content(b"no video")) for number in range(3)]
    results = {result.video_id: result async for result in keeping.client.score_stream(items)}
    assert set(results) == {item.video_id for item in items}, "each under its own name"
    for number in range(3):
        assert isinstance(results.pop(f"no {number}").error, InvalidVideo)
    verdicts = [result.unwrap() for result in results.values()]
    assert len({alike(verdict) for verdict in verdicts}) == 1
    after = samples(keeping.metrics, "wildgate_stage_seconds_count")
    assert after["detect",] - before["detect",] == 1
    assert after["total",] - before["total",] == 20
    assert sum("detect" in stages(verdict) for verdict in verdicts) == 1


async def test_a_file_is_decoded_once(keeping: GatewayUnderTest, allowed_root: Path) -> None:
    file, copy = allowed_root / "kept.mp4", allowed_root / "copy of kept.mp4"
    for path in (file, copy):
        path.write_bytes(video(4).data)
    first = await keeping.client.score(Uri(file.as_uri()))
    second = await keeping.client.score(Uri(copy.as_uri()))
    assert (first.cached, second.cached) == (False, True)
    assert alike(first) == alike(second)
    assert stages(second) >= {"sample", "cache"}
    assert "detect" not in stages(second)
    file.write_bytes(video(5).data)
    assert not (await keeping.client.score(Uri(file.as_uri()))).cached, "another file now"


async def test_who_asks_at_the_same_time_shares_and_may_leave(keeping: GatewayUnderTest) -> None:
    with paused(keeping.workers[0]):
        first = asyncio.create_task(keeping.client.score(video(7)))
        await until_in_flight(keeping.metrics, 1)
        hasty = asyncio.create_task(keeping.client.score(video(7), deadline_s=2))  # so that it is seen to wait
        others = [asyncio.create_task(keeping.client.score(video(7))) for _ in range(2)]
        await until_in_flight(keeping.metrics, 4)  # who follows holds a place as well
        assert samples(keeping.metrics, "wildgate_flights") == {(): 1}
        with pytest.raises(DeadlineExceeded):
            await hasty
        first.cancel()
        await until_in_flight(keeping.metrics, 2)
        assert not any(other.done() for other in others)
    verdicts = await asyncio.gather(*others)
    assert [stages(verdict) for verdict in verdicts] == [{"cache", "shared", "total"}] * 2


async def test_the_first_one_s_deadline_is_not_the_others_end(make_settings: MakeSettings) -> None:
    """The first one's clip waits for company longer than its caller does; the second one's has the time."""
    async with running(make_settings(cache=ON, batch={"max_wait_ms": 1500})) as gateway:
        hasty = asyncio.create_task(gateway.client.score(video(8), deadline_s=0.7))
        await until_in_flight(gateway.metrics, 1)
        patient = asyncio.create_task(gateway.client.score(video(8)))
        with pytest.raises(DeadlineExceeded):
            await hasty
        assert (await patient).detections


@asynccontextmanager
async def reloadable(make_settings: MakeSettings, policy: Path) -> AsyncIterator[tuple[Gateway, ScoringClient]]:
    settings = make_settings(cache=ON).model_copy(update={"policy": policy})
    async with run_gateway(settings) as gateway, ScoringClient(gateway.address, NO_RETRY) as client:
        yield gateway, client


async def test_an_edited_policy_counts_even_under_its_old_version(make_settings: MakeSettings, tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    mild = POLICY.replace("score: 0.5", "score: 0.9")
    policy.write_text(mild)
    async with reloadable(make_settings, policy) as (gateway, client):
        lenient = await client.score(video(9))
        assert (lenient.action, (await client.score(video(9))).cached) == (Action.REVIEW, True)
        policy.write_text(POLICY.replace("score: 0.5", "score: 0.02"))
        gateway.reload()
        strict = await client.score(video(9))
        assert (strict.action, strict.cached) == (Action.BLOCK, False)
        assert strict.policy_version == lenient.policy_version == "test-7"
        policy.write_text(mild)
        gateway.reload()
        again = await client.score(video(9))
        assert (again.action, again.cached) == (Action.REVIEW, True)


async def test_draining_finishes_what_is_shared(make_settings: MakeSettings) -> None:
    settings = make_settings(cache=ON, batch={"max_wait_ms": 1500})
    async with run_gateway(settings) as gateway, ScoringClient(gateway.address, NO_RETRY) as client:
        callers = [asyncio.create_task(client.score(video(10))) for _ in range(3)]
        async with asyncio.timeout(PATIENCE_S):
            while gateway.metrics.registry.get_sample_value("wildgate_videos_in_flight") != 3:
                await asyncio.sleep(0.01)
        assert gateway.pipeline.flights <= 1
        await gateway.drain()
        verdicts = await asyncio.gather(*callers)
        assert len({alike(verdict) for verdict in verdicts}) == 1
        assert gateway.pipeline.flights == 0


class TestRedis:
    @pytest.fixture
    def secret(self, tmp_path: Path) -> Path:
        (tmp_path / "secret").write_bytes(b"a secret of the fleet")
        return tmp_path / "secret"

    @pytest.fixture
    def redis(self, tmp_path: Path) -> Iterator[RealRedis]:
        server = real_redis(tmp_path)
        server.start()
        yield server
        server.kill()

    async def test_a_fleet_scores_a_video_once(
        self, make_settings: MakeSettings, redis: RealRedis, secret: Path
    ) -> None:
        cache = {**ON, "redis_url": redis.url, "secret_file": secret, "redis_timeout_ms": 5000}
        async with running(make_settings(cache=cache)) as here, running(make_settings(cache=cache)) as there:
            first = await here.client.score(video(11))
            await until(lambda: keys_in(redis) == 1, "the verdict in Redis")
            second = await there.client.score(video(11))
            lookups = samples(there.metrics, "wildgate_cache_lookups_total")
            assert (first.cached, second.cached) == (False, True), lookups
            assert alike(first) == alike(second)
            assert (await there.client.score_digest(first.content_digest)).cached
            assert [looked_up(there, tier, "hit") for tier in ("redis", "memory")] == [1, 1], "kept there as well"

            redis.kill()
            assert not (await there.client.score(video(12))).cached
            assert (await here.client.score(video(11))).cached
            assert looked_up(there, "redis", "failed") == 1

    async def test_a_redis_that_hangs_costs_next_to_nothing(self, make_settings: MakeSettings, secret: Path) -> None:
        async with pretending(silence) as url:
            cache = {"max_entries": 0, "redis_url": url, "secret_file": secret, "redis_timeout_ms": 20}
            async with running(make_settings(cache=cache)) as gateway:
                for number in range(14, 22):
                    assert (await gateway.client.score(video(number))).detections
                assert looked_up(gateway, "redis", "skipped") >= 4
                assert samples(gateway.metrics, "wildgate_cache_redis_left_alone") == {(): 1}


def keys_in(redis: RealRedis) -> int:
    """How many keys a Redis holds."""
    with socket.create_connection(("127.0.0.1", redis.port), PATIENCE_S) as connection:
        connection.sendall(b"DBSIZE\r\n")
        return int(connection.recv(64)[1:])
