"""Writing video files: H.264 or VP9, with the keyframes and the display rotation that are asked for."""

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import av.video.frame
import av.video.stream

from wildgate_detector.surfaces import Picture


@dataclass(frozen=True)
class Encoding:
    """How to encode. `keyframe_every` counts frames; `rotation` is 0, 90, 180 or 270.

    `rotation` is FFmpeg's display rotation: degrees counter-clockwise by which a player turns the stored
    picture. Only MP4 files can carry it here.
    """

    codec: str = "libx264"
    quality: int = 26
    keyframe_every: int = 48
    rotation: int = 0
    options: dict[str, str] = field(default_factory=dict)


def write_video(path: Path, frames: Iterable[Picture], fps: int, encoding: Encoding) -> None:
    """Encode RGB `frames` into `path`; the suffix chooses the container.

    The file depends on the frames and the encoder's version alone: one thread, no time of writing in it.

    Raises:
        ValueError: a rotation that is not a quarter turn, or one for a container other than MP4.
        av.error.FFmpegError: the codec or container cannot be written.
    """
    if encoding.rotation % 90 != 0 or (encoding.rotation and path.suffix != ".mp4"):
        raise ValueError(f"cannot write a rotation of {encoding.rotation} degrees to {path.name}")
    container_options = {"fflags": "+bitexact"}
    if path.suffix == ".mp4":
        container_options["movflags"] = "+faststart"
    with av.open(str(path), "w", options=container_options) as container:
        stream = container.add_stream(encoding.codec, rate=Fraction(fps))
        if not isinstance(stream, av.video.stream.VideoStream):
            raise ValueError(f"{encoding.codec} encodes no video")
        stream.pix_fmt = "yuv420p"
        stream.codec_context.gop_size = encoding.keyframe_every
        stream.codec_context.thread_count = 1
        stream.options = {"crf": str(encoding.quality), **_speed(encoding), **encoding.options}
        first = True
        for picture in frames:
            if first:
                stream.height, stream.width = picture.shape[:2]
                first = False
            frame = av.video.frame.VideoFrame.from_ndarray(picture, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    if encoding.rotation:
        _set_rotation(path, encoding.rotation)


def _speed(encoding: Encoding) -> dict[str, str]:
    if encoding.codec == "libx264":
        return {
            "preset": "veryfast",
            "sc_threshold": "0",
            "keyint_min": str(encoding.keyframe_every),
            "x264-params": "threads=1:lookahead-threads=1",
        }
    if encoding.codec == "libvpx-vp9":
        return {"b": "0", "deadline": "good", "cpu-used": "4", "row-mt": "0"}
    return {}


MATRIX_OFFSET = 48
"""Bytes from the start of a version 0 `tkhd` box to its matrix (ISO/IEC 14496-12, 8.3.2)."""

TURNS = {
    90: (0, -1, 1, 0),
    180: (-1, 0, 0, -1),
    270: (0, 1, -1, 0),
}
"""The matrix's a, b, c, d for a counter-clockwise turn of so many degrees."""


def _set_rotation(path: Path, rotation: int) -> None:
    """Write the display matrix into the track header, as phones do; PyAV has no call for it."""
    data = bytearray(path.read_bytes())
    header = data.find(b"tkhd")
    if header < 4 or data[header + 4] != 0:
        raise ValueError(f"{path.name} has no track header of version 0")
    a, b, c, d = TURNS[rotation % 360]
    one = 1 << 16
    matrix = struct.pack(">9i", a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30)
    start = header - 4 + MATRIX_OFFSET
    data[start : start + len(matrix)] = matrix
    path.write_bytes(bytes(data))
