"""How a stored picture is to be shown: turned, mirrored, stretched, as the container says, or else the codec.

Cropping that only a container asks for (`clap`, PixelCrop) is left aside: what lies outside is looked at too.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from fractions import Fraction
from math import atan2, degrees, hypot

import av.error
from av.codec.context import CodecContext
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from wildgate_server.media.ebml import children, element_at
from wildgate_server.media.nal_units import only_parameter_set
from wildgate_server.media.picture_headers import ParameterSet
from wildgate_server.media.sampled_video import Display

__all__ = ["display_of"]

_LARGEST_TERM = 1 << 15  # of a pixel aspect ratio
# Elements of RFC 9559
_SEGMENT, _TRACKS, _TRACK_ENTRY, _VIDEO, _PROJECTION = 0x18538067, 0x1654AE6B, 0xAE, 0xE0, 0x7670
_POSE_YAW, _POSE_ROLL = 0x7673, 0x7675


def display_of(stream: VideoStream, clip: bytes, clip_format: str) -> Display:
    """How the pictures of `stream` are to be shown; `clip` holds some of its packets, and is of FFmpeg's `clip_format`.

    PyAV shows a stream's display matrix only on decoded frames; FFmpeg carries it over into a clip's own header.
    """
    read = _TRANSFORMS.get(clip_format)
    rotation, mirrored = (0, False) if read is None else read(clip)
    aspect = (stream.sample_aspect_ratio or _coded_aspect(stream.codec_context) or Fraction(1)).limit_denominator(
        _LARGEST_TERM
    )
    known = 0 < aspect.numerator <= _LARGEST_TERM
    return Display(rotation, mirrored, (aspect.numerator, aspect.denominator) if known else (1, 1))


def _coded_aspect(context: VideoCodecContext) -> Fraction | None:
    """The pixel aspect ratio in H.264's or HEVC's parameter sets, which FFmpeg reads when it decodes."""
    codec, extradata = context.codec.canonical_name, context.extradata
    if codec == "h264" and extradata and (unit := only_parameter_set(extradata)) is not None:
        parameters = ParameterSet.of(unit)
        return None if parameters is None else parameters.pixel_aspect
    if codec != "hevc" or not extradata:
        return None
    try:
        decoder = CodecContext.create(context.codec.name, "r")
        decoder.extradata, decoder.thread_count = extradata, 1
        decoder.open()
    except av.error.FFmpegError:
        return None
    return decoder.sample_aspect_ratio if isinstance(decoder, VideoCodecContext) else None


def _of_matrix(clip: bytes) -> tuple[int, bool]:
    """Rotation and mirroring by the matrix of a track header (ISO/IEC 14496-12, 8.3.2 `tkhd`).

    The matrix takes (x, y), y downwards, to (ax + cy, bx + dy); mirrored first, a and b have the opposite sign.
    """
    track = memoryview(clip)
    for kind in (b"moov", b"trak", b"tkhd"):
        track = _child(track, kind)
    a, b, _, c, d = struct.unpack_from(">5i", track, 52 if track[0] else 40)
    across, down = hypot(a, c), hypot(b, d)
    if not across or not down:
        return 0, False
    return _quarters(degrees(atan2(c / across, d / down))), a * d < b * c


def _of_projection(clip: bytes) -> tuple[int, bool]:
    """Rotation and mirroring by the pose of a track's projection, as FFmpeg writes it: a yaw of half a turn mirrors."""
    content = memoryview(clip)
    at = 0
    while (element := element_at(content, at)) is not None and element.id != _SEGMENT:
        at = len(content) if element.end is None else element.end
    level = content[element.data :] if element is not None else content[:0]
    for identity in (_TRACKS, _TRACK_ENTRY, _VIDEO, _PROJECTION):
        level = next((data for found, data in children(level) if found == identity), content[:0])
    pose = {identity: _float(data) for identity, data in children(level)}
    mirrored = abs(abs(pose.get(_POSE_YAW, 0.0)) - 180) < 45
    return _quarters(pose.get(_POSE_ROLL, 0.0)), mirrored


_TRANSFORMS: Mapping[str, Callable[[bytes], tuple[int, bool]]] = {
    "mp4": _of_matrix,
    "mov": _of_matrix,
    "matroska": _of_projection,
}


def _quarters(angle: float) -> int:
    return round(angle / 90) * 90 % 360


def _float(data: memoryview) -> float:
    form = {4: ">f", 8: ">d"}.get(len(data))
    return float(struct.unpack(form, data)[0]) if form else 0.0


def _child(box: memoryview, kind: bytes) -> memoryview:
    """The payload of the first box of this kind inside `box`."""
    at = 0
    while at + 8 <= len(box):
        size, name = struct.unpack_from(">I4s", box, at)
        header = 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", box, at + 8)
            header = 16
        if name == kind:
            return box[at + header : at + size]
        at += max(size, header)
    raise ValueError(f"the clip has no {kind!r} box")
