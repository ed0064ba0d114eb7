"""Frames of clip windows, out of a real Triton, equal those of a full decode at the same times, byte for byte."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import pytest_asyncio
from clips import ClipSpec, make_clip
from triton_seam import load_model

from wildgate_server.media.sampled_video import SampledVideo, VideoLimits
from wildgate_server.repository.manifest import ModelManifest, load_manifest
from wildgate_server.repository.model_configs import CLIP_DECODER
from wildgate_server.sampling.offline import sample_content
from wildgate_server.sampling.plan import SamplingConfig
from wildgate_server.triton.client import ClipRow, TritonClient
from wildgate_server.triton.embedded import EmbeddedTriton

pytestmark = [pytest.mark.triton, pytest.mark.asyncio(loop_scope="session")]

LIMITS = VideoLimits(max_bytes=64 << 20, max_pixels=1 << 24, max_seconds=600)
TIMEOUT_S = 60.0


def texture(number: int, width: int, height: int) -> np.ndarray:
    """A picture that tells every frame from its neighbours in every block: moving waves, and fresh noise."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    waves = [128 + 70 * np.sin((x * (3 + channel) + y * 2) / 40 + number / 3) for channel in range(3)]
    noise = np.random.default_rng(number).integers(-24, 25, (height // 8 + 1, width // 8 + 1, 3))
    noise = noise.repeat(8, 0).repeat(8, 1)[:height, :width]
    return np.clip(np.stack(waves, axis=-1) + noise, 0, 255).astype(np.uint8)


def x264(keyframe_interval: int, b_frames: int, *, open_gop: bool) -> dict[str, str]:
    gop = f"keyint={keyframe_interval}:min-keyint={keyframe_interval}:scenecut=0:open-gop={int(open_gop)}"
    return {"preset": "veryfast", "x264-params": f"{gop}:bframes={b_frames}:b-adapt=0"}


@dataclass(frozen=True)
class Case:
    """A video, how closely it is looked at, and what the plan must have been for the case to mean anything.

    `windows`, `inter_picks` and `leading_picks` are at least: windows, looked-at frames that are no keyframes, and
    looked-at frames that are shown before their keyframe (which only an open GOP has).
    """

    spec: ClipSpec
    max_gap_s: float = 2.0
    windows: int = 1
    inter_picks: int = 0
    leading_picks: int = 0
    open_gop: bool = False


def textured(**spec: Any) -> ClipSpec:
    return ClipSpec(**{"width": 208, "height": 144, "paint": texture, **spec})


JITTERED = tuple(round(0.033 * n + (0.9 if n > 30 else 0) + (0.021 if n % 3 == 1 else 0), 3) for n in range(90))
X265 = {"preset": "ultrafast", "x265-params": "log-level=none:keyint=20:bframes=2:b-adapt=0:open-gop=1"}

CASES = {
    "h264_closed_gop": Case(textured(seconds=6, b_frames=2, options=x264(10, 2, open_gop=False))),
    "h264_open_gop_keyframes": Case(
        textured(seconds=6, b_frames=3, options=x264(8, 3, open_gop=True)), 1.0, open_gop=True
    ),
    "h264_open_gop_between": Case(
        textured(seconds=4, b_frames=3, options=x264(16, 3, open_gop=True)),
        0.2,
        windows=3,
        inter_picks=8,
        leading_picks=1,
        open_gop=True,
    ),
    "h264_sparse_keyframes": Case(textured(seconds=9, b_frames=2, options=x264(250, 2, open_gop=False)), inter_picks=3),
    "vp9_webm": Case(
        textured(codec="libvpx-vp9", container="webm", seconds=5, keyframe_interval=20, width=210, height=142),
        1.0,
        inter_picks=1,
    ),
    "hevc": Case(textured(codec="libx265", seconds=4, b_frames=2, options=X265), 0.7, inter_picks=2, open_gop=True),
    "mpeg_ts": Case(
        textured(container="mpegts", seconds=6, b_frames=2, options=x264(25, 2, open_gop=False)), 1.0, inter_picks=2
    ),
    "rotated": Case(textured(seconds=5, rotation=90, keyframe_interval=10)),
    "upside_down_between": Case(textured(seconds=5, rotation=180, keyframe_interval=50), 1.0, inter_picks=2),
    "variable_frame_rate": Case(
        textured(times_s=JITTERED, b_frames=2, options=x264(40, 2, open_gop=False)), 0.5, inter_picks=3
    ),
    "several_windows": Case(textured(seconds=30, b_frames=2, options=x264(25, 2, open_gop=False)), windows=2),
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def triton(embedded_triton: EmbeddedTriton) -> AsyncIterator[TritonClient]:
    async with TritonClient(embedded_triton.endpoints.grpc) as client:
        yield client


@pytest.fixture(scope="module")
def manifest(model_repository: Path) -> ModelManifest:
    return load_manifest(model_repository)


@dataclass(frozen=True)
class FullDecode:
    """Every frame of a video by its presentation time, letterboxed as the model does it."""

    squares: dict[float, np.ndarray]
    keyframes: set[float]
    leading: set[float]
    rotation: int


def full_decode(content: bytes, manifest: ModelManifest) -> FullDecode:
    model = load_model("clip_decoder")
    scaler = model.FrameScaler(manifest.frame_side_px, manifest.letterbox_value)
    squares: dict[float, np.ndarray] = {}
    keyframes: set[float] = set()
    rotations: set[int] = set()
    with av.open(io.BytesIO(content)) as container:
        for frame in container.decode(video=0):
            rotations.add(frame.rotation % 360)
            squares[round(frame.time, 6)] = scaler.square(frame, model.Display(frame.rotation % 360))
            if frame.key_frame:
                keyframes.add(round(frame.time, 6))
    [rotation] = rotations
    return FullDecode(squares, keyframes, _leading(content), rotation)


def _leading(content: bytes) -> set[float]:
    """Times of the frames that are shown before their keyframe and sent after it."""
    leading: set[float] = set()
    with av.open(io.BytesIO(content)) as container:
        keyframe_s = float("-inf")
        for packet in container.demux(video=0):
            if packet.size:
                time_s = float(packet.pts * packet.time_base)
                keyframe_s = time_s if packet.is_keyframe else keyframe_s
                if time_s < keyframe_s:
                    leading.add(round(time_s, 6))
    return leading


async def frames_of(video: SampledVideo, triton: TritonClient) -> dict[float, np.ndarray]:
    """What Triton makes of all windows, asked together, by time."""
    rows = [ClipRow(window.clip, window.frame_index, video.default_track.display) for window in video.windows]
    answers = await triton.frames(CLIP_DECODER, rows, TIMEOUT_S)
    found = {}
    for window, frames in zip(video.windows, answers, strict=True):
        for place, frame in enumerate(frames):
            time_s = window.times_s[min(place, len(window.times_s) - 1)]
            if time_s in found:
                assert np.array_equal(frame, found[time_s]), "places past the last frame repeat it"
            found[time_s] = frame
    return {round(time_s, 6): frame for time_s, frame in found.items()}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
async def test_frames_equal_those_of_a_full_decode(case: Case, triton: TritonClient, manifest: ModelManifest) -> None:
    content = make_clip(case.spec)
    config = SamplingConfig(manifest.frames_per_window, max_gap_s=case.max_gap_s)
    video = sample_content(content, config, LIMITS)
    truth = full_decode(content, manifest)

    looked_at = {round(time_s, 6) for window in video.windows for time_s in window.times_s}
    assert len(video.windows) >= case.windows
    assert len(looked_at - truth.keyframes) >= case.inter_picks
    assert len(looked_at & truth.leading) >= case.leading_picks
    assert bool(truth.leading) == case.open_gop
    assert video.default_track.display.rotation == truth.rotation == case.spec.rotation

    shown = await frames_of(video, triton)
    assert shown.keys() == looked_at <= truth.squares.keys()
    different = [time_s for time_s, frame in shown.items() if not np.array_equal(frame, truth.squares[time_s])]
    assert not different
    # The pictures tell frames apart: a neighbour in the wrong place would have been noticed.
    assert len({square.tobytes() for square in truth.squares.values()}) == len(truth.squares)
