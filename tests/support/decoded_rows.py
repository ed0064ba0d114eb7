"""Rows for the clip decoders, and what the CPU decoder makes of them: the measure of the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import av
import numpy as np
from clips import ClipSpec, frame_number
from triton_seam import load_model

SIDE, GREY = 320, 114
FRAMES = 8
UPRIGHT = (0, 0, 1, 1)


@dataclass(frozen=True)
class Row:
    """One row of a request."""

    clip: bytes
    index: tuple[int, ...] = tuple(range(FRAMES))
    display: tuple[int, int, int, int] = UPRIGHT


@cache
def _decoder():
    module = load_model("clip_decoder")
    return module, module.FrameScaler(SIDE, GREY)


def decoded(row: Row):
    """What `clip_decoder/1/model.py` makes of a row."""
    module, scaler = _decoder()
    return module.decode_window(row.clip, row.index, row.display, scaler, module.Limits(1 << 24))


def by_cpu_decoder(row: Row) -> np.ndarray:
    """FRAMES of a row as `clip_decoder/1/model.py` makes them, uint8 [F, S, S, 3]."""
    window = decoded(row)
    assert window.sound.all()
    return window.frames


def letterbox(width: int, height: int):
    """Where `model.py` puts a displayed picture."""
    return _decoder()[0].Letterbox.of(width, height, SIDE)


def pixels(row: Row) -> dict[str, np.ndarray]:
    """The tensors of a row by their names."""
    return {
        "CLIP": np.frombuffer(row.clip, np.uint8),
        "FRAME_INDEX": np.array(row.index, np.int32),
        "DISPLAY": np.array(row.display, np.int32),
    }


def padded(rows: Sequence[Row]) -> dict[str, np.ndarray]:
    """The tensors of a request with several rows; shorter clips are filled up with zeros."""
    length = max(len(row.clip) for row in rows)
    return {
        "CLIP": np.stack([np.frombuffer(row.clip.ljust(length, b"\0"), np.uint8) for row in rows]),
        "FRAME_INDEX": np.array([row.index for row in rows], np.int32),
        "DISPLAY": np.array([row.display for row in rows], np.int32),
    }


def scene(number: int, width: int, height: int) -> np.ndarray:
    """A picture [height, width, 3] with soft shapes of all sizes and colours that moves from frame to frame.

    The left half of its middle has the grey of `clips.picture`, so that frames are told apart.
    """
    rng = np.random.default_rng(3)
    coarse = rng.integers(60, 196, (9, 16, 3), np.uint8)
    fine = rng.integers(96, 160, (72, 128, 1), np.uint8).repeat(3, 2)
    moved = [np.ascontiguousarray(np.roll(noise, number, 1)) for noise in (coarse, fine)]
    large, small = (
        av.VideoFrame.from_ndarray(noise, "rgb24")
        .reformat(width, height, interpolation="BICUBIC")
        .to_ndarray(format="rgb24")
        .astype(np.int16)
        for noise in moved
    )
    picture = np.clip(large + small - 128, 16, 239).astype(np.uint8)
    picture[height // 4 : 3 * height // 4, width // 8 : 3 * width // 8] = 40 + 7 * (number % 28)
    return picture


def numbers(frames: np.ndarray, width: int, height: int) -> list[int]:
    """Which frames of an upright `scene` or `clips.picture` these are."""
    box = letterbox(width, height)
    return [frame_number(frame[box.top : box.top + box.height, box.left : box.left + box.width]) for frame in frames]


def vp9(width: int = 640, height: int = 360, **changes) -> ClipSpec:
    """A VP9 clip of `scene`: what DALI decodes without a GPU."""
    options = {"b": "2M", **changes.pop("options", {})}
    return ClipSpec(
        codec="libvpx-vp9", container="mp4", width=width, height=height, paint=scene, options=options, **changes
    )
