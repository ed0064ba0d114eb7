"""Which ensemble a row goes to, and when what is not in force any more is let go."""

from __future__ import annotations

import asyncio
from time import monotonic

import pytest
from event_loop import settled
from releases_under_test import releases
from scripted_triton import ScriptedTriton

from wildgate_server.errors import BackendUnavailable
from wildgate_server.inference.batcher import BatchSettings
from wildgate_server.inference.release_router import ReleaseRouter
from wildgate_server.media.sampled_video import Display
from wildgate_server.triton.client import ClipRow

ROW = ClipRow(b"clip", (0,), Display())
LONG_WAIT_MS = 3_600_000.0


@pytest.fixture
def triton() -> ScriptedTriton:
    return ScriptedTriton()


async def test_rows_of_two_ensembles_never_share_a_batch(triton: ScriptedTriton) -> None:
    async with ReleaseRouter(BatchSettings(max_rows=2, max_wait_ms=LONG_WAIT_MS), triton.detect, releases(1)) as router:
        deadline = monotonic() + 60
        names = ["video_scorer", "video_scorer_canary"] * 2
        await asyncio.gather(*(router.submit(name, [ROW], deadline) for name in names))
        assert sorted(triton.batches) == [("video_scorer", [b"clip"] * 2), ("video_scorer_canary", [b"clip"] * 2)]
        assert router.healthy
        assert router.depth == 0


async def test_what_is_not_in_force_is_let_go_with_its_last_video(triton: ScriptedTriton) -> None:
    async with ReleaseRouter(BatchSettings(max_rows=1), triton.detect, releases(1, canary=2)) as router:
        with router.held() as first:
            await router.submit("video_scorer_canary", [ROW], monotonic() + 60)
            router.switch(releases(2))
            with router.held() as second:
                assert (first.rollout.serving, second.rollout.serving) == (1, 2)
            retiring = asyncio.create_task(router.retire())
            await settled()
            assert not retiring.done(), "the first video is still asked for"
            assert set(router.labels) == {"m/1", "m/2"}
            await router.submit("video_scorer_canary", [ROW], monotonic() + 60)
        await retiring
        assert set(router.labels) == {"m/2"}
        assert router.release(1).model_version == "m/1", "a late answer is still told"


async def test_two_changes_are_both_waited_for(triton: ScriptedTriton) -> None:
    async with ReleaseRouter(BatchSettings(), triton.detect, releases(1)) as router:
        with router.held():
            router.switch(releases(2))
            with router.held():
                router.switch(releases(3))
                retiring = asyncio.create_task(router.retire())
                await settled()
            await settled()
            assert not retiring.done()
        await retiring
        assert set(router.labels) == {"m/3"}
        await router.retire()


async def test_labels_of_what_is_expected_count_until_it_is_taken_back(triton: ScriptedTriton) -> None:
    async with ReleaseRouter(BatchSettings(), triton.detect, releases(1)) as router:
        with pytest.raises(BackendUnavailable, match="version 5"):
            router.release(5)
        router.expect(releases(5))
        assert set(router.labels) == {"m/1", "m/5"}
        assert router.release(5).model_version == "m/5"
        router.expect(None)
        assert set(router.labels) == {"m/1"}


async def test_a_batcher_that_is_closed_is_made_anew(triton: ScriptedTriton) -> None:
    async with ReleaseRouter(BatchSettings(max_rows=1), triton.detect, releases(1, canary=2)) as router:
        for _ in range(2):
            await router.submit("video_scorer_canary", [ROW], monotonic() + 60)
            router.switch(releases(1))
            await router.retire()
            router.switch(releases(1, canary=2))
        assert triton.batches == [("video_scorer_canary", [b"clip"])] * 2
