"""The clips of the GPU report: composed moving pictures, 15 s long, in each size and codec that is measured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import cos, sin
from pathlib import Path
from typing import Any, cast

import av
import cv2
import numpy as np
import numpy.typing as npt
from av.video.stream import VideoStream

__all__ = ["KINDS", "ClipKind", "clips_of"]

FPS, SECONDS, KEYFRAME_EVERY_S = 30, 15, 2
VARIANTS = 4  # Different files, so that nothing on the way can answer one from the memory of another.
MARGIN = 200


@dataclass(frozen=True)
class ClipKind:
    """A size and a codec, at a bit rate usual for uploads; `name` is how reports call it."""

    name: str
    encoder: str
    width: int
    height: int
    bit_rate: int


KINDS = (
    ClipKind("720p H.264", "libx264", 1280, 720, 2_800_000),
    ClipKind("1080p H.264", "libx264", 1920, 1080, 5_000_000),
    ClipKind("720p HEVC", "libx265", 1280, 720, 1_600_000),
    ClipKind("1080p HEVC", "libx265", 1920, 1080, 3_000_000),
)


def clips_of(kind: ClipKind, folder: Path, variants: int = VARIANTS) -> list[Path]:
    """Clips of `kind` in `folder`, each of other pictures; those that are not there yet are composed."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for variant in range(variants):
        file = folder / f"{kind.encoder}-{kind.width}x{kind.height}-{kind.bit_rate}-{variant}.mp4"
        if not file.exists():
            part = file.with_suffix(".part")
            _encode(kind, variant, part)
            part.replace(file)
        files.append(file)
    return files


def _encode(kind: ClipKind, variant: int, file: Path) -> None:
    every = FPS * KEYFRAME_EVERY_S
    gop = f"keyint={every}:min-keyint={every}:scenecut=0"
    with av.open(str(file), "w", format="mp4") as output:
        stream = cast(VideoStream, output.add_stream(kind.encoder, rate=FPS))
        stream.width, stream.height, stream.pix_fmt = kind.width, kind.height, "yuv420p"
        stream.bit_rate = kind.bit_rate
        parameters = {"libx264": "x264-params", "libx265": "x265-params"}[kind.encoder]
        quiet = ":log-level=error" if kind.encoder == "libx265" else ""
        stream.options = {"preset": "ultrafast", parameters: gop + quiet}
        for picture in _pictures(kind, variant):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        output.mux(stream.encode(None))


def _pictures(kind: ClipKind, variant: int) -> Iterator[npt.NDArray[np.uint8]]:
    """Two scenes that move against each other under changing light, with a sensor's noise."""
    rng = np.random.default_rng(variant)
    size = (kind.width + 2 * MARGIN, kind.height + 2 * MARGIN)
    scenes = [
        cv2.resize(rng.integers(40, 215, (24, 40, 3), np.uint8), size, interpolation=cv2.INTER_CUBIC) for _ in range(2)
    ]
    # Noise is drawn once and moved about: drawing it for every frame would take longer than encoding.
    noise = rng.normal(0, 3, (size[1], size[0], 1)).astype(np.int8)
    for number in range(FPS * SECONDS):
        x, y = round(MARGIN * (1 + sin(number / 9))), round(MARGIN * (1 + cos(number / 7)))
        light = 0.5 + 0.5 * sin(number / 5)
        mixed = cv2.addWeighted(_cut(scenes[0], kind, x, y), light, _cut(scenes[1], kind, -x, y), 1 - light, 0)
        left, top = rng.integers(0, 2 * MARGIN, 2)
        yield np.clip(mixed + _cut(noise, kind, left, top).astype(np.int16), 0, 255).astype(np.uint8)


def _cut(scene: npt.NDArray[Any], kind: ClipKind, x: int, y: int) -> npt.NDArray[Any]:
    left = x % (2 * MARGIN + 1)
    return scene[y : y + kind.height, left : left + kind.width]
