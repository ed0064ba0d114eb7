"""Test videos, composed on the fly; every frame says which one it is.

The left half of frame n is a flat grey of level `grey_of(n)`; the right half has a bright quarter at its
top, so that turned and mirrored pictures are told apart. `frame_number` reads the number back from RGB
pixels.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import av
import numpy as np

_GREY_STEP = 7
_GREY_LEVELS = 28
_DARKEST = 40


@dataclass(frozen=True)
class ClipSpec:
    """How a test video is made; sizes in pixels, `keyframe_interval` in frames.

    `rotation` is FFmpeg's display rotation (degrees counter-clockwise). `times_s`, on a grid of milliseconds, takes
    the place of `seconds` at `fps`; `paint(number, width, height)` takes the place of `picture`.
    """

    codec: str = "libx264"
    container: str = "mp4"
    width: int = 320
    height: int = 240
    seconds: float = 2.0
    fps: int = 10
    keyframe_interval: int = 10
    b_frames: int = 0
    pix_fmt: str = "yuv420p"
    first_frame: int = 0
    rotation: int = 0
    times_s: tuple[float, ...] | None = None
    paint: Callable[[int, int, int], np.ndarray] | None = None
    options: dict[str, str] = field(default_factory=dict, hash=False)

    def frame_times_s(self) -> tuple[float, ...]:
        """When each frame is shown."""
        return self.times_s or tuple(number / self.fps for number in range(round(self.seconds * self.fps)))


def grey_of(number: int) -> int:
    """The grey level of frame `number`; levels repeat after 28 frames."""
    return _DARKEST + _GREY_STEP * (number % _GREY_LEVELS)


def frame_number(rgb: np.ndarray) -> int:
    """The number, modulo 28, of the upright frame shown in `rgb` [height, width, 3]."""
    height, width, _ = rgb.shape
    patch = rgb[height // 4 : 3 * height // 4, width // 8 : 3 * width // 8]
    return round((float(patch.mean()) - _DARKEST) / _GREY_STEP)


def picture(number: int, width: int, height: int) -> np.ndarray:
    """Frame `number` as RGB [height, width, 3]."""
    rgb = np.full((height, width, 3), grey_of(number), np.uint8)
    rgb[:, width // 2 :] = (30, 60, 120)
    rgb[: height // 2, 3 * width // 4 :] = (230, 200, 40)
    return rgb


def make_clip(spec: ClipSpec | None = None, path: Path | None = None) -> bytes:
    """The video of `spec` as bytes; also written to `path` when given."""
    content = _encoded(spec or ClipSpec())
    if path is not None:
        path.write_bytes(content)
    return content


@lru_cache(maxsize=256)  # many tests ask for the same few videos
def _encoded(spec: ClipSpec) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=spec.container) as container:
        stream = container.add_stream(spec.codec, rate=spec.fps)
        stream.width, stream.height, stream.pix_fmt = spec.width, spec.height, spec.pix_fmt
        stream.codec_context.gop_size = spec.keyframe_interval
        stream.codec_context.max_b_frames = spec.b_frames
        stream.codec_context.thread_count = 1
        if spec.times_s:
            stream.codec_context.time_base = Fraction(1, 1000)
        if spec.rotation:
            stream.set_display_rotation(spec.rotation)
        stream.options = {**_encoder_options(spec), **spec.options}
        for number, time_s in enumerate(spec.frame_times_s()):
            rgb = (spec.paint or picture)(spec.first_frame + number, spec.width, spec.height)
            frame = av.VideoFrame.from_ndarray(rgb, "rgb24")
            if spec.times_s:
                frame.pts, frame.time_base = round(time_s * 1000), Fraction(1, 1000)
            else:
                frame.pts, frame.time_base = number, Fraction(1, spec.fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return buffer.getvalue()


def _encoder_options(spec: ClipSpec) -> dict[str, str]:
    if spec.codec == "libx264":
        fixed = f"keyint={spec.keyframe_interval}:min-keyint={spec.keyframe_interval}:scenecut=0"
        return {"preset": "veryfast", "crf": "20", "x264-params": fixed}
    if spec.codec == "libvpx-vp9":
        return {"deadline": "realtime", "cpu-used": "8", "b": "1M"}
    return {"qmin": "1", "qmax": "3"}  # Coarser, and neighbouring greys run together.


def cut_clip(content: bytes, keep: Callable[[int, av.Packet], bool], container: str = "matroska") -> bytes:
    """A clip of those packets of `content` for which `keep(place in decode order, packet)` holds, times kept."""
    buffer = io.BytesIO()
    with av.open(io.BytesIO(content)) as source, av.open(buffer, "w", format=container) as target:
        stream = source.streams.video[0]
        track = target.add_stream_from_template(stream, opaque=True)
        place = -1
        for packet in source.demux(stream):
            place += 1
            if packet.size and keep(place, packet):
                packet.stream = track
                target.mux(packet)
    return buffer.getvalue()
