"""What makes a video one that is blocked, and what makes it resemble one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest_asyncio
from blocked_videos import block, disguise, disguised, together, video

from wildgate_server.block_rules import BlockRules
from wildgate_server.blocks.block_list import BlockList
from wildgate_server.blocks.fingerprint import FrameFingerprint, VideoFingerprint
from wildgate_server.blocks.matching import MatchedFrame, Resemblance, resemblances

RANDOM = np.random.default_rng(3)
ORIGINAL = video(RANDOM, 10, regions=6)
RULES = BlockRules(distance=31, frames=2, share=0.2)


@pytest_asyncio.fixture
async def blocks(tmp_path: Path) -> AsyncIterator[BlockList]:
    loaded = await BlockList.load(tmp_path)
    await loaded.put([block(f"stranger-{at}", video(RANDOM, regions=6)) for at in range(50)])
    await loaded.put([block("original", ORIGINAL, label="rhino_horn")])
    yield loaded
    await loaded.close()


def only(blocks: BlockList, asked: VideoFingerprint, rules: BlockRules = RULES) -> Resemblance:
    [match] = resemblances(blocks, asked, rules)
    assert match.block.id == "original"
    return match


async def test_a_copy_is_found_with_each_frame_and_where_it_is_in_the_original(blocks: BlockList) -> None:
    match = only(blocks, disguise(ORIGINAL, 20, RANDOM, of=slice(4, 7), shift_s=-4.0))
    assert match.enough
    assert match.share == 1.0
    assert match.frames == tuple(MatchedFrame(0, float(at), 20, at + 4.0) for at in range(3))


async def test_a_stranger_resembles_nothing(blocks: BlockList) -> None:
    for _ in range(20):
        assert not resemblances(blocks, video(RANDOM, 12, regions=6), RULES)


async def test_one_frame_and_a_small_share_are_not_enough(blocks: BlockList) -> None:
    one = disguise(ORIGINAL, 10, RANDOM, of=slice(1))
    assert not only(blocks, one).enough
    within = together(disguise(ORIGINAL, 10, RANDOM, of=slice(3)), video(RANDOM, 13))
    match = only(blocks, within)
    assert (match.enough, match.share) == (False, 3 / 16)
    assert only(blocks, within, BlockRules(share=0.1)).enough


async def test_further_tracks_take_nothing_away_from_the_one_that_matches(blocks: BlockList) -> None:
    others = (replace(frame, track=track) for track in range(1, 8) for frame in video(RANDOM, 12, regions=6).frames)
    shown = VideoFingerprint((*disguise(ORIGINAL, 10, RANDOM).frames, *others), 12.0)
    assert (only(blocks, shown).enough, only(blocks, shown).share) == (True, 1.0)
    captioned = tuple(replace(frame, hashes=(RANDOM.bytes(32), *frame.hashes[1:])) for frame in shown.frames)
    assert (only(blocks, VideoFingerprint(captioned, 12.0))).share == 1.0


async def test_distance_is_the_policy_s(blocks: BlockList) -> None:
    far = VideoFingerprint(
        tuple(
            FrameFingerprint(0, frame.time_s, 90, (disguised(frame.hashes[0], 28, RANDOM),))
            for frame in ORIGINAL.frames
        ),
        10.0,
    )
    assert only(blocks, far).enough
    assert not resemblances(blocks, far, BlockRules(distance=27))


async def test_regions_alone_are_a_resemblance(blocks: BlockList) -> None:
    # A caption: the full picture is far, two of its six regions are near, the others far.
    captioned = VideoFingerprint(
        tuple(
            FrameFingerprint(
                0,
                frame.time_s,
                90,
                (
                    RANDOM.bytes(32),
                    *(RANDOM.bytes(32) for _ in range(4)),
                    *(disguised(code, 30, RANDOM) for code in frame.hashes[5:7]),
                ),
            )
            for frame in ORIGINAL.frames[:5]
        ),
        5.0,
    )
    match = only(blocks, captioned)
    assert not match.enough
    assert {(frame.regional, frame.distance, frame.time_s == frame.original_s) for frame in match.frames} == {
        (True, 30, True)
    }
    one_region = VideoFingerprint(
        tuple(FrameFingerprint(0, frame.time_s, 90, frame.hashes[:3]) for frame in captioned.frames), 5.0
    )
    assert not resemblances(blocks, one_region, RULES)


async def test_plain_frames_never_match_on_either_side(blocks: BlockList) -> None:
    plain = video(RANDOM, 6, quality=49)
    await blocks.put([block("plain", plain)])
    bright = VideoFingerprint(tuple(FrameFingerprint(0, f.time_s, 90, f.hashes) for f in plain.frames), 6.0)
    assert not resemblances(blocks, bright, RULES)
    dull = VideoFingerprint(tuple(FrameFingerprint(0, f.time_s, 49, f.hashes) for f in ORIGINAL.frames), 10.0)
    assert not resemblances(blocks, dull, RULES)


async def test_of_many_entries_those_with_the_most_frames_are_told(blocks: BlockList) -> None:
    await blocks.put([block(f"copy-{at:02}", disguise(ORIGINAL, 5, RANDOM, of=slice(at % 9 + 1))) for at in range(30)])
    matches = resemblances(blocks, ORIGINAL, RULES)
    assert len(matches) == 8
    assert matches[0].block.id == "original"
    assert [len(match.frames) for match in matches] == sorted((len(match.frames) for match in matches), reverse=True)


async def test_an_entry_is_found_behind_any_number_that_are_out_of_force(blocks: BlockList) -> None:
    out = [{"disabled": True}, {"expires_ms": 1}]
    await blocks.put([block(f"out-{at}", ORIGINAL, **out[at % 2]) for at in range(600)])
    await blocks.put([block("again", disguise(ORIGINAL, 5, RANDOM, of=slice(3)))])
    assert {match.block.id for match in resemblances(blocks, ORIGINAL, RULES)} == {"original", "again"}


async def test_a_list_of_one_hash_is_a_list(tmp_path: Path) -> None:
    blocks = await BlockList.load(tmp_path / "one")
    await blocks.put([block("only", video(RANDOM, 1))])
    [frame] = blocks.get("only").fingerprint.frames
    asked = VideoFingerprint((FrameFingerprint(0, 3.0, 80, (frame.hashes[0],)),), 5.0)
    assert [match.block.id for match in resemblances(blocks, asked, RULES)] == ["only"]
    await blocks.close()
