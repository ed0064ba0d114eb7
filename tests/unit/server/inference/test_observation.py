"""What the GPU's decoder does not take is the CPU's to decide, and nobody else's rows suffer for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic

import pytest
from releases_under_test import manifest, releases
from scored_videos import sampled_video
from scripted_triton import ScriptedTriton

from wildgate_server.errors import BackendUnavailable, CorruptVideo
from wildgate_server.inference.batcher import BatchSettings
from wildgate_server.inference.observation import Observation, Observer
from wildgate_server.inference.release_router import ReleaseRouter
from wildgate_server.media.sampled_video import ClipWindow

GOOD = ClipWindow(b"good", (0, 1, 2, 3), (0.0, 1.0, 2.0, 3.0), 4)
HARD = ClipWindow(b"hard", (0, 1, 1, 1), (4.0, 5.0), 2)


@asynccontextmanager
async def observing(triton: ScriptedTriton) -> AsyncIterator[Observer]:
    async with ReleaseRouter(
        BatchSettings(max_rows=2, max_wait_ms=1000), triton.detect, releases(1, canary=2)
    ) as router:
        yield Observer(manifest(), router)


async def seen(triton: ScriptedTriton, *, canary: bool = False) -> Observation:
    async with observing(triton) as observer:
        return await observer.observe(sampled_video(windows=(GOOD, HARD)), monotonic() + 60, canary=canary)


@pytest.fixture
def triton() -> ScriptedTriton:
    """Its GPU refuses the clip `hard`."""
    made = ScriptedTriton()
    made.hard, made.fails = {b"hard"}, b"hard"
    return made


@pytest.mark.parametrize(
    ("canary", "ensemble", "on_cpu"),
    [
        (False, "video_scorer", "video_scorer_software"),
        (True, "video_scorer_canary", "video_scorer_software_canary"),
    ],
)
async def test_only_the_refused_row_is_asked_of_the_cpu_and_once(
    triton: ScriptedTriton, canary: bool, ensemble: str, on_cpu: str
) -> None:
    observation = await seen(triton, canary=canary)
    assert observation.tracks[0].windows == (GOOD, HARD)
    assert triton.batches == [
        (ensemble, [b"good", b"hard"]),
        (ensemble, [b"good"]),
        (ensemble, [b"hard"]),
        (on_cpu, [b"hard"]),
    ]


async def test_what_the_cpu_refuses_is_looked_at_frame_by_frame_there(triton: ScriptedTriton) -> None:
    triton.bad = {(b"hard", 1)}
    observation = await seen(triton)
    assert observation.tracks[0].looked_at_s == (0.0, 1.0, 2.0, 3.0, 4.0)
    assert triton.batches[-1][0] == "video_scorer_software"
    assert triton.batches.count(("video_scorer", [b"hard"])) == 1


async def test_what_neither_decodes_is_corrupt(triton: ScriptedTriton) -> None:
    triton.bad = {(b"hard", 0), (b"hard", 1)}
    async with observing(triton) as observer:
        with pytest.raises(CorruptVideo):
            await observer.observe(sampled_video(windows=(HARD,)), monotonic() + 60)


async def test_a_window_that_could_not_be_asked_for_is_never_left_out(triton: ScriptedTriton) -> None:
    """A verdict with fewer windows than were sampled would be kept as if it were the video's fault."""
    triton.error = BackendUnavailable("clip_decoder failed: MemoryError")
    with pytest.raises(BackendUnavailable):
        await seen(triton)
