"""A confirmed video looked at densely, by the shipped fingerprints and a decoder that is told what it decodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
from scored_videos import sampled_video

from wildgate_server.blocks.dense import Fingerprinter, dense_config, look_densely, with_usual_looks
from wildgate_server.blocks.fingerprint import FrameFingerprint, distance, without_repeats
from wildgate_server.errors import CorruptVideo, RowRefused
from wildgate_server.media.sampled_video import ClipWindow
from wildgate_server.sampling.sampling_config import SamplingConfig
from wildgate_server.triton.client import ClipRow

Frames = npt.NDArray[np.uint8]
Sizes = npt.NDArray[np.int32]
F, S = 8, 320
FAR = 1e12
WINDOWS = tuple(
    ClipWindow(name, tuple(range(F)), tuple(first + at for at in range(3)), F)
    for name, first in ((b"one", 0.0), (b"two", 10.0))
)
GRAPH = Path("model_repository/frame_fingerprint/1/model.onnx")


def picture(seed: int) -> Frames:
    draw, shown = np.random.default_rng(seed), np.full((S, S, 3), 128, np.uint8)
    for _ in range(40):
        left, top, width, height = draw.integers(0, (300, 300, 120, 120))
        shown[top : top + height + 9, left : left + width + 9] = draw.integers(0, 256, 3)
    return shown


@dataclass
class FakeTriton(Fingerprinter):
    """Each frame of a clip is the picture of `seeds`; a clip of `refused` cannot be decoded."""

    seeds: dict[bytes, list[int | None]]
    refused: set[bytes] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.session = onnxruntime.InferenceSession(GRAPH, providers=["CPUExecutionProvider"])

    async def pictures(self, decoder: str, rows: Sequence[ClipRow], timeout_s: float) -> tuple[Frames, Sizes]:
        [row] = rows
        if row.clip in self.refused:
            raise RowRefused("cannot be decoded")
        frames, sizes = np.full((1, F, S, S, 3), 114, np.uint8), np.zeros((1, F, 2), np.int32)
        for at, seed in enumerate(self.seeds[row.clip]):
            if seed is not None:
                frames[0, at], sizes[0, at] = (picture(seed) if seed else 0), 640
        return frames, sizes

    async def fingerprint(self, frames: Frames, picture_size: Sizes, timeout_s: float) -> tuple[Frames, Sizes]:
        hashes, quality = self.session.run(None, {"FRAMES": frames, "PICTURE_SIZE": picture_size})
        return hashes, quality


async def hash_of(triton: FakeTriton, shown: Frames) -> bytes:
    frames, sizes = np.full((1, F, S, S, 3), 114, np.uint8), np.zeros((1, F, 2), np.int32)
    frames[0, 0], sizes[0, 0] = shown, 640
    hashes, _ = await triton.fingerprint(frames, sizes, 1.0)
    return hashes[0, 0, 0].tobytes()


async def test_a_frame_is_known_as_it_is_mirrored_and_cropped() -> None:
    triton = FakeTriton({b"one": [1, 2, 3], b"two": [4, 5, 6]})
    known = await look_densely(sampled_video(windows=WINDOWS), triton, "clip_decoder", FAR)
    frames = known.fingerprint.frames
    assert [frame.time_s for frame in frames] == [time_s for time_s in (0, 1, 2, 10, 11, 12) for _ in range(6)]
    assert [frame.time_s for frame in known.original.frames] == [0, 1, 2, 10, 11, 12]
    for shown in (picture(5), picture(5)[:, ::-1]):
        wanted = await hash_of(triton, shown)
        assert min(frames, key=lambda frame: distance(frame.hashes[0], wanted)).time_s == 11
        assert min(distance(frame.hashes[0], wanted) for frame in frames) <= 4
    assert all(len(frame.hashes) > 1 for frame in frames)


async def test_what_repeats_is_plain_or_does_not_decode_takes_no_place() -> None:
    triton = FakeTriton({b"one": [1, 1, 0], b"two": [2, None, 3]})
    known = await look_densely(sampled_video(windows=WINDOWS), triton, "clip_decoder", FAR)
    assert {frame.time_s for frame in known.fingerprint.frames} == {0.0, 10.0, 12.0}
    triton.refused = {b"two"}
    known = await look_densely(sampled_video(windows=WINDOWS), triton, "clip_decoder", FAR)
    assert {frame.time_s for frame in known.fingerprint.frames} == {0.0}


async def test_a_plain_video_has_no_fingerprint_and_an_undecodable_one_is_refused() -> None:
    triton = FakeTriton({b"one": [0, 0, 0], b"two": [0, 0, 0]})
    known = await look_densely(sampled_video(windows=WINDOWS), triton, "clip_decoder", FAR)
    assert known.fingerprint.frames == known.original.frames == ()
    triton.refused = {b"one", b"two"}
    with pytest.raises(CorruptVideo):
        await look_densely(sampled_video(windows=WINDOWS), triton, "clip_decoder", FAR)


async def test_frames_that_are_looked_at_of_any_upload_are_known_too() -> None:
    triton = FakeTriton({b"one": [1, 2, 3], b"two": [4, 5, 6]})
    video = with_usual_looks(sampled_video(windows=WINDOWS[1:]), sampled_video(windows=WINDOWS[:1]))
    known = await look_densely(video, triton, "clip_decoder", FAR)
    assert [frame.time_s for frame in known.original.frames] == [0, 1, 2, 10, 11, 12]


def test_a_confirmed_video_is_sampled_more_densely_than_others() -> None:
    usual = SamplingConfig(F)
    dense = dense_config(usual)
    assert dense.max_gap_s == 0.25 < usual.max_gap_s
    assert (dense.max_frames, dense.frames_per_window) > (usual.max_frames, F - 1)
    assert dense.random_share == 0


def test_frames_that_are_nearly_equal_count_once_in_each_track() -> None:
    one, near, other = bytes(32), b"\x0f" + bytes(31), b"\xff" * 32
    frames = [
        FrameFingerprint(track, time_s, 90, (code,))
        for track, time_s, code in ((0, 1.0, near), (0, 0.0, one), (1, 0.0, one), (0, 2.0, other), (0, 3.0, one))
    ]
    kept = [(frame.track, frame.time_s) for frame in without_repeats(frames)]
    assert kept == [(0, 0.0), (0, 2.0), (0, 3.0), (1, 0.0)]
