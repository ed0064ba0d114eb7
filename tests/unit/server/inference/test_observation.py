"""What the GPU's decoder does not take is the CPU's to decide, and nobody else's rows suffer for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from time import monotonic

import pytest
from releases_under_test import manifest, releases
from scored_videos import sampled_video
from scripted_triton import ScriptedTriton

from wildgate_server.budget import Budget, BudgetSettings
from wildgate_server.errors import BackendUnavailable, CorruptVideo, UnsupportedCodec, VideoTooCostly
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
    assert [seen.window for seen in observation.tracks[0].windows] == [GOOD, HARD]
    assert observation.unsound == ()
    assert triton.batches == [
        (ensemble, [b"good", b"hard"]),
        (ensemble, [b"good"]),
        (ensemble, [b"hard"]),
        (on_cpu, [b"hard"]),
    ]


async def test_only_sound_frames_are_looked_at_and_the_others_are_told(triton: ScriptedTriton) -> None:
    triton.bad = {(b"good", 2), (b"hard", 0)}
    triton.horns = {(b"good", 2), (b"good", 3)}
    observation = await seen(triton)
    [track] = observation.tracks
    assert track.looked_at_s == (0.0, 1.0, 3.0, 5.0)
    assert track.unsound_s == (2.0, 4.0)
    assert observation.unsound == ((track.track.number, 2.0), (track.track.number, 4.0))
    assert [found.time_s for found in observation.detections] == [3.0], "what a detector sees in grey is nothing"


async def test_a_damaged_frame_is_looked_at_as_players_show_it_and_told(triton: ScriptedTriton) -> None:
    triton.damaged, triton.horns = {(b"good", 2)}, {(b"good", 2)}
    [track] = (await seen(triton)).tracks
    assert track.looked_at_s == (0.0, 1.0, 2.0, 3.0, 4.0, 5.0)
    assert (track.damaged_s, track.unsound_s) == ((2.0,), ())
    assert [found.time_s for found in track.detections] == [2.0]


async def test_of_a_window_that_the_cpu_refuses_too_nothing_is_sound(triton: ScriptedTriton) -> None:
    triton.refused = {b"hard"}
    observation = await seen(triton)
    assert observation.tracks[0].looked_at_s == (0.0, 1.0, 2.0, 3.0)
    assert observation.tracks[0].unsound_s == (4.0, 5.0)
    assert triton.batches[-1] == ("video_scorer_software", [b"hard"])
    assert triton.batches.count(("video_scorer", [b"hard"])) == 1


@pytest.mark.parametrize("how", ["refused", "not sound"])
async def test_a_video_without_a_sound_frame_is_corrupt(triton: ScriptedTriton, how: str) -> None:
    if how == "refused":
        triton.refused = {b"hard"}
    triton.bad = {(b"hard", 0), (b"hard", 1)}
    async with observing(triton) as observer:
        with pytest.raises(CorruptVideo):
            await observer.observe(sampled_video(windows=(HARD,)), monotonic() + 60)


async def test_a_second_track_without_a_decoder_has_nothing_sound(triton: ScriptedTriton) -> None:
    video = sampled_video(windows=(GOOD,))
    video = replace(video, tracks=(*video.tracks, replace(video.default_track, number=7, windows=(HARD,))))
    triton.undecodable = {b"hard"}
    async with observing(triton) as observer:
        observation = await observer.observe(video, monotonic() + 60)
        assert observation.tracks[0].looked_at_s == GOOD.times_s
        assert observation.unsound == ((7, 4.0), (7, 5.0))
        with pytest.raises(UnsupportedCodec):
            await observer.observe(replace(video, tracks=video.tracks[::-1]), monotonic() + 60)


async def test_a_window_that_could_not_be_asked_for_is_never_left_out(triton: ScriptedTriton) -> None:
    """A verdict with fewer windows than were sampled would be kept as if it were the video's fault."""
    triton.error = BackendUnavailable("clip_decoder failed: MemoryError")
    with pytest.raises(BackendUnavailable):
        await seen(triton)


async def test_a_window_that_takes_long_is_asked_of_the_patient_decoder_and_then_no_more(
    triton: ScriptedTriton,
) -> None:
    triton.hard, triton.costly, aside = set(), {b"hard": False}, []

    @asynccontextmanager
    async def stepping_aside() -> AsyncIterator[None]:
        aside.append(len(triton.batches))
        yield
        aside.append(len(triton.batches))

    async with observing(triton) as observer:
        video, budget = sampled_video(windows=(GOOD, HARD)), Budget(aside=stepping_aside)
        assert (await observer.observe(video, monotonic() + 60, budget)).unsound == ()
    assert triton.batches == [("video_scorer", [b"good", b"hard"]), ("video_scorer_software", [b"hard"])]
    assert aside == [1, 2], "it gives up its turn for the second one"
    triton.costly[b"hard"] = True
    with pytest.raises(VideoTooCostly):
        await seen(triton)


async def test_decoding_counts_until_the_budget_is_spent(triton: ScriptedTriton) -> None:
    triton.hard, triton.cost = set(), (2.0, 3e6, 0.0)
    budget = Budget(BudgetSettings(processor_s=5))
    async with observing(triton) as observer:
        video = sampled_video(windows=(GOOD, HARD))
        await observer.observe(video, monotonic() + 60, budget)
        assert (budget.processor_s, budget.pixels) == (4.0, 6e6)
        with pytest.raises(VideoTooCostly, match=r"budget\.processor_s is 5, the video has"):
            await observer.observe(video, monotonic() + 60, budget)


async def test_windows_that_share_a_clip_are_asked_for_together(triton: ScriptedTriton) -> None:
    first = ClipWindow(b"long", (0, 1, 2, 3), (0.0, 1.0, 2.0, 3.0), 8)
    second = replace(first, frame_index=(4, 5, 6, 7), times_s=(4.0, 5.0, 6.0, 7.0))
    triton.horns, triton.bad = {(b"long", 6)}, {(b"long", 3)}
    last = replace(GOOD, times_s=(8.0, 9.0, 10.0, 11.0))
    async with observing(triton) as observer:
        observation = await observer.observe(sampled_video(windows=(first, second, last)), monotonic() + 60)
    assert triton.batches == [("video_scorer", [b"long", b"long"]), ("video_scorer", [b"good"])]
    assert [found.time_s for found in observation.detections] == [6.0]
    assert observation.tracks[0].unsound_s == (3.0,)


async def test_a_fingerprint_is_of_the_sound_frames_and_of_each_picture_once(triton: ScriptedTriton) -> None:
    again = ClipWindow(b"still", (3, 3, 4, 5), (6.0, 7.0, 8.0, 9.0), 6)
    triton.bad = {(b"good", 1)}
    async with observing(triton) as observer:
        observation = await observer.observe(sampled_video(windows=(GOOD, again), last_s=9.5), monotonic() + 60)
    found = observation.fingerprint
    # The hashes of the scripted frames count up: 0 and 2 to 5 in 256 places of eight bits each.
    assert [(frame.time_s, frame.hashes[0][0]) for frame in found.frames] == [
        (0.0, 0), (2.0, 2), (3.0, 3), (8.0, 4), (9.0, 5)
    ]  # fmt: skip
    assert found.duration_s == 9.5
    assert {frame.quality for frame in found.frames} == {90}
