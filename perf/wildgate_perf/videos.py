"""The videos that are measured with: composed once, kept, every one of other pictures.

Each is 15 s of 720x1280 at 30 frames/s with a keyframe every 2 s, as a phone held upright makes them: two scenes that
move against each other under changing light, with a sensor's noise. H.264 with CABAC and the loop filter on, as uploads
have them.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from math import cos, sin
from multiprocessing import get_context
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import numpy.typing as npt
from av.video.stream import VideoStream

from wildgate_perf.server_parts import available_cores

VIDEOS = Path(__file__).resolve().parents[2] / "out" / "perf" / "videos"
"""Where measurements keep their videos, so that they are composed once for all of them."""

_MARGIN = 200  # How far scenes move, in pixels.
_BENCH_BIT_RATE = 2_800_000
_LARGE_BIT_RATE = 4_400_000


@dataclass(frozen=True)
class Composition:
    """A composed video; `seed` decides its pictures, `options` are the encoder's own."""

    seed: int
    bit_rate: int
    encoder: str = "libx264"
    width: int = 720
    height: int = 1280
    fps: int = 30
    seconds: float = 15.0
    keyframe_every_s: float = 2.0
    options: tuple[tuple[str, str], ...] = (("preset", "superfast"),)

    @property
    def name(self) -> str:
        """A file name without its ending that no other composition has."""
        size = f"{self.width}x{self.height}"
        return f"{self.encoder}-{size}-{self.seconds:g}s-{self.bit_rate // 1000}k-{self.seed}"


CONTAINERS: dict[str, tuple[str, str, dict[str, str]]] = {
    "mp4_index_first": ("mp4", ".mp4", {"movflags": "faststart"}),
    "mp4_index_last": ("mp4", ".mp4", {}),
    "fragmented": ("mp4", ".mp4", {"movflags": "frag_keyframe+empty_moov+default_base_moof"}),
    "webm": ("webm", ".webm", {}),
    "ts": ("mpegts", ".ts", {}),
}
"""Containers whose bytes read are measured, by their names in the results: FFmpeg's format, suffix, muxer's options."""

_VP9_OPTIONS = (("deadline", "realtime"), ("cpu-used", "8"), ("row-mt", "1"), ("lag-in-frames", "0"))


def bench_videos(folder: Path, count: int = 8) -> list[Path]:
    """`count` different MP4s of about 5 MB, index first; those that are not in `folder` yet are composed there."""
    return composed(folder, [Composition(seed, _BENCH_BIT_RATE) for seed in range(count)])


def large_videos(folder: Path, count: int = 4) -> list[Path]:
    """`count` different MP4s of about 8 MB, index first; kept in `folder` like `bench_videos`."""
    return composed(folder, [Composition(seed, _LARGE_BIT_RATE) for seed in range(count)])


def containers(folder: Path) -> dict[str, Path]:
    """The pictures of the first bench video in every kind of CONTAINERS, each about 5 MB; kept in `folder`.

    WebM takes no H.264: there the pictures are VP9 of the same bit rate.
    """
    h264 = bench_videos(folder, 1)[0]
    vp9 = Composition(0, _BENCH_BIT_RATE, encoder="libvpx-vp9", options=_VP9_OPTIONS)
    found = {}
    for name, (muxer, suffix, options) in CONTAINERS.items():
        file = found[name] = folder / f"container-{name}{suffix}"
        if not file.exists():
            source = composed(folder, [vp9])[0] if name == "webm" else h264
            part = file.with_suffix(".part")
            _remux(source, part, muxer, options)
            part.replace(file)
    return found


def compose(composition: Composition, file: Path) -> None:
    """Encodes `composition` into `file`, an MP4 with its index first, in this process."""
    every = round(composition.fps * composition.keyframe_every_s)
    options = dict(composition.options)
    if composition.encoder == "libx264":
        options["x264-params"] = f"keyint={every}:min-keyint={every}:scenecut=0:threads=1"
    elif composition.encoder == "libx265":
        options["x265-params"] = f"keyint={every}:min-keyint={every}:scenecut=0:log-level=error"
    else:
        options["g"] = options["keyint_min"] = str(every)
    with av.open(str(file), "w", format="mp4", options={"movflags": "faststart"}) as output:
        stream = cast(VideoStream, output.add_stream(composition.encoder, rate=composition.fps, options=options))
        stream.width, stream.height, stream.pix_fmt = composition.width, composition.height, "yuv420p"
        stream.bit_rate = composition.bit_rate
        for number, picture in enumerate(_pictures(composition)):
            frame = av.VideoFrame.from_ndarray(picture, "yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, composition.fps)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


def composed(folder: Path, compositions: list[Composition]) -> list[Path]:
    """A file for each of `compositions`; those that are not in `folder` yet are composed there."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{composition.name}.mp4" for composition in compositions]
    missing = [pair for pair in zip(compositions, files, strict=True) if not pair[1].exists()]
    if len(missing) == 1:
        _compose_whole(*missing[0])
    elif missing:
        # Spawned: the caller may hold threads and gRPC channels, which do not survive a fork.
        with ProcessPoolExecutor(min(available_cores(), len(missing)), get_context("spawn")) as processes:
            list(processes.map(_compose_whole, *zip(*missing, strict=True)))
    return files


def _compose_whole(composition: Composition, file: Path) -> None:
    """Never leaves half a video at `file`, even when two compose it at once."""
    with tempfile.TemporaryDirectory(dir=file.parent) as scratch:
        part = Path(scratch, file.name)
        compose(composition, part)
        shutil.move(part, file)


def _remux(source: Path, file: Path, muxer: str, options: dict[str, str]) -> None:
    with av.open(str(source), "r") as video, av.open(str(file), "w", format=muxer, options=options) as output:
        stream = video.streams.video[0]
        copy = output.add_stream_from_template(stream)
        for packet in video.demux(stream):
            if packet.size:
                packet.stream = copy
                output.mux(packet)


def _pictures(composition: Composition) -> Iterator[npt.NDArray[np.uint8]]:
    """Frames as FFmpeg's yuv420p lies in memory: UINT8 [height * 3 / 2, width]."""
    rng = np.random.default_rng(composition.seed)
    width, height = composition.width, composition.height
    luma = [_scene(rng, width + 2 * _MARGIN, height + 2 * _MARGIN) for _ in range(2)]
    chroma = [_scene(rng, width // 2 + _MARGIN, height // 2 + _MARGIN) for _ in range(4)]
    # Noise is drawn once and moved about: drawing it for every frame would take longer than encoding.
    noise = rng.normal(0, 3, (height + 2 * _MARGIN, width + 2 * _MARGIN)).round().astype(np.int16)
    picture = np.empty((height * 3 // 2, width), np.uint8)
    for number in range(round(composition.fps * composition.seconds)):
        x, y = round(_MARGIN * (1 + sin(number / 9))), round(_MARGIN * (1 + cos(number / 7)))
        light = round(128 + 127 * sin(number / 5))
        left, top = rng.integers(0, 2 * _MARGIN, 2)
        mixed = _mixed(luma, light, (height, width), (x, y), 2 * _MARGIN)
        mixed += noise[top : top + height, left : left + width]
        picture[:height] = np.clip(mixed, 16, 235, out=mixed)
        planes = picture[height:].reshape(2, height // 2, width // 2)
        for plane, scenes in zip(planes, (chroma[:2], chroma[2:]), strict=True):
            plane[:] = _mixed(scenes, light, (height // 2, width // 2), (x // 2, y // 2), _MARGIN)
        yield picture


def _mixed(
    scenes: list[npt.NDArray[np.int16]], light: int, size: tuple[int, int], at: tuple[int, int], margin: int
) -> npt.NDArray[np.int16]:
    """Two scenes that move against each other; of 256 parts light, `light` fall on the first."""
    (height, width), (x, y) = size, at
    first = scenes[0][y : y + height, x : x + width]
    second = scenes[1][y : y + height, margin - x : margin - x + width]
    # Half the range, so that 16 bits hold the products.
    mixed: npt.NDArray[Any] = first * np.int16(light >> 1) + second * np.int16((256 - light) >> 1)
    mixed >>= 7
    return mixed


def _scene(rng: np.random.Generator, width: int, height: int) -> npt.NDArray[np.int16]:
    """A smooth random picture, INT16 [height, width] with values of 40 to 215."""
    coarse = av.VideoFrame.from_ndarray(rng.integers(40, 215, (40, 24), np.uint8), "gray")
    scene = coarse.reformat(width=width, height=height, interpolation="BICUBIC").to_ndarray()
    return scene.astype(np.int16)
