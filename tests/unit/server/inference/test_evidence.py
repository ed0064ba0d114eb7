"""Evidence frames: the best ones, cropped to the displayed frame, from Triton's decoder."""

from __future__ import annotations

import io
from collections.abc import Sequence
from time import monotonic

import numpy as np
import pytest
from PIL import Image
from releases_under_test import releases
from scored_videos import sampled_video

from wildgate_server.errors import BackendUnavailable
from wildgate_server.inference.detections import Detection
from wildgate_server.inference.evidence import EvidenceFrame, evidence_frames
from wildgate_server.inference.observation import Observation, SeenTrack, SeenWindow
from wildgate_server.media.letterbox import Letterbox
from wildgate_server.media.sampled_video import ClipWindow
from wildgate_server.triton.client import ClipRow

SIDE = 64
LETTERBOX = Letterbox.of(128, 64, SIDE)  # bars of 16 above and below
WINDOWS = (
    ClipWindow(b"first", (0, 1, 2), (0.0, 2.0, 4.0), 3),
    ClipWindow(b"second", (0, 5, 5), (6.0, 8.0), 6),
)
FAR = 3600.0


def shade(clip: bytes, index: int) -> int:
    return (len(clip) * 31 + index * 7) % 100 + 100


class FakeDecoder:
    """Paints the displayed part of a row's frames in a shade of their own."""

    def __init__(self) -> None:
        self.rows: list[ClipRow] = []
        self.timeouts_s: list[float] = []
        self.decoders: set[str] = set()

    async def frames(self, decoder: str, rows: Sequence[ClipRow], timeout_s: float) -> np.ndarray:
        self.rows += rows
        self.decoders.add(decoder)
        self.timeouts_s.append(timeout_s)
        squares = np.zeros((len(rows), 3, SIDE, SIDE, 3), np.uint8)
        for row, places in zip(rows, squares, strict=True):
            for place, index in zip(places, row.frame_index, strict=True):
                place[16:48] = shade(row.clip, index)
        return squares


def detection(score: float, time_s: float) -> Detection:
    return Detection("bear", score, time_s, (0.0, 0.0, 1.0, 1.0))


async def made(decoder: FakeDecoder, detections: list[Detection], count: int) -> tuple[EvidenceFrame, ...]:
    return await evidence_frames(decoder.frames, seen(detections), count, monotonic() + FAR)


def seen(detections: list[Detection]) -> Observation:
    release = releases(1).serving
    windows = (
        SeenWindow(WINDOWS[0], (LETTERBOX,) * 3, tuple(detections)),
        SeenWindow(WINDOWS[1], (LETTERBOX,) * 2, ()),
    )
    shown = SeenTrack(sampled_video().default_track, windows)
    return Observation(release, (shown,), "their_decoder", queue_ms=0, infer_ms=0)


@pytest.fixture
def decoder() -> FakeDecoder:
    return FakeDecoder()


async def test_the_frames_with_the_highest_scores_in_time_order(decoder: FakeDecoder) -> None:
    detections = [detection(0.5, 0.0), detection(0.7, 2.0), detection(0.6, 4.0), detection(0.9, 8.0)]
    frames = await made(decoder, detections, 2)
    assert [frame.time_s for frame in frames] == [2.0, 8.0]
    for frame, expected in zip(frames, (shade(b"first", 1), shade(b"second", 5)), strict=True):
        pixels = np.asarray(Image.open(io.BytesIO(frame.jpeg)))
        assert pixels.shape == (32, 64, 3), "the displayed frame, without bars"
        assert np.abs(pixels.astype(int) - expected).max() <= 3


async def test_a_frame_counts_by_its_best_detection_and_once(decoder: FakeDecoder) -> None:
    detections = [detection(0.5, 0.0), detection(0.1, 2.0), detection(0.9, 2.0), detection(0.9, 2.0)]
    assert [frame.time_s for frame in await made(decoder, detections, 1)] == [2.0]
    assert [frame.time_s for frame in await made(decoder, detections, 9)] == [0.0, 2.0]


async def test_the_earlier_of_equals(decoder: FakeDecoder) -> None:
    assert [frame.time_s for frame in await made(decoder, [detection(0.5, 6.0), detection(0.5, 4.0)], 1)] == [4.0]


async def test_only_windows_with_a_wanted_frame_are_decoded(decoder: FakeDecoder) -> None:
    await made(decoder, [detection(0.5, 6.0)], 5)
    assert decoder.rows == [ClipRow(b"second", (0, 5, 5), sampled_video().default_track.display)]
    assert decoder.decoders == {"their_decoder"}, "the one that the detector's frames came from"
    assert 0 < decoder.timeouts_s[0] <= FAR


@pytest.mark.parametrize(("detections", "count"), [([], 5), ([detection(0.9, 0.0)], 0)])
async def test_nothing_to_show_asks_nobody(decoder: FakeDecoder, detections: list[Detection], count: int) -> None:
    assert await made(decoder, detections, count) == ()
    assert decoder.rows == []


async def test_a_decoder_s_error_is_raised() -> None:
    async def away(decoder: str, rows: Sequence[ClipRow], timeout_s: float) -> np.ndarray:
        raise BackendUnavailable("away")

    with pytest.raises(BackendUnavailable):
        await evidence_frames(away, seen([detection(0.5, 0.0)]), 1, monotonic() + FAR)
