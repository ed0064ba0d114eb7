"""Media containers, read and written through PyAV; the only module of the gateway that imports it.

Nothing here decodes. `Video` reads the packets of the video stream; `Video.clip` copies some of them into a small
media file of their own.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from math import atan2, degrees, hypot
from typing import BinaryIO, TypeAlias

import av
import av.error
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.stream import VideoStream

from wildgate_server.coded_stream import BT709, Coding, DeclaredStream
from wildgate_server.errors import CorruptVideo, NotAVideo, NoVideoStream, UnsupportedCodec
from wildgate_server.sampling import Sample

__all__ = ["Video", "open_video"]

_DEMUXERS = (
    "aac,ac3,aiff,amr,asf,avi,caf,eac3,flac,flv,gif,h264,hevc,ivf,loas,matroska,mov,mp3,mpeg,mpegts,mpegvideo,"
    "m4v,mxf,obu,ogg,rm,wav,wtv"
)

# Untrusted input: only plain containers (a playlist would make FFmpeg open what it names), no protocol at all.
# skip_frame=all keeps FFmpeg's stream probing from decoding pictures: opening 720x1280 H.264 takes 3 ms then, not 25.
_OPEN_OPTIONS = {"format_whitelist": _DEMUXERS, "protocol_whitelist": "none", "skip_frame": "all"}

# The first that takes the codec. use_editlist=0: an edit list in the clip would shift or cut its first frames.
_CLIP_FORMATS: tuple[tuple[str, dict[str, str]], ...] = (
    ("mp4", {"use_editlist": "0"}),
    ("mov", {"use_editlist": "0"}),
    ("matroska", {}),
)
_CLIP_TICK = Fraction(1, 1000)
_CLIP_FRAME_TICKS = 40

# DALI decodes any matrix as BT.601, and a DALI pipeline cannot search a file for what it is. So an MP4 clip in BT.709
# says it at a fixed place, the minor version of its `ftyp` box (ISO/IEC 14496-12, 4.3: informative); see `dali.py`.
_MINOR_VERSION = slice(12, 16)
_BT709_MARK = b"wg\0\1"

VideoPacket: TypeAlias = "Packet[VideoStream]"


@dataclass(frozen=True, slots=True)
class Clip:
    """A media file that holds only some packets of a video, and how its picture is to be turned.

    `rotation` is FFmpeg's display rotation modulo 360: degrees counter-clockwise, a multiple of 90.
    """

    data: bytes
    rotation: int


class Video:
    """The packets of one video stream, in decode order, and the samples that describe them.

    `width` and `height` are pixels of the stored picture, as the container declares them; `format`, `codec` and
    `profile` are FFmpeg's names.
    """

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        context = stream.codec_context
        self._stream = stream
        self.format = container.format.name.split(",")[0]
        self.codec = context.codec.canonical_name
        self.profile = str(context.profile or "unknown")
        self.width = context.width
        self.height = context.height
        self._declared = DeclaredStream(
            codec=self.codec,
            extradata=context.extradata or b"",
            width=self.width,
            height=self.height,
            pixel_format=context.pix_fmt,
            matrix=int(context.colorspace),
            range=int(context.color_range),
        )
        self._packets = list(_packets(container, stream))
        self.samples = _samples(self._packets, stream)

    def coding(self, clips: Sequence[Sequence[int]]) -> Coding:
        """How the packets of clips are coded; each clip is given as `clip` takes it."""
        places = sorted({index for indices in clips for index in indices})
        packets = ((self.samples[place].is_keyframe, memoryview(self._packets[place])) for place in places)
        return self._declared.coding(packets, max(self._delay(indices) for indices in clips))

    def clip(self, indices: Sequence[int], coding: Coding | None = None) -> Clip:
        """A clip of the packets at `indices` of `samples`, ascending; `coding` is how it is coded, if that is known.

        Its frames lie in presentation order on a timeline of its own, one every 40 ms, so that what was odd in the
        video's timestamps (negative, equal, missing, far apart) cannot drop or swap frames.

        Raises UnsupportedCodec when no clip format takes the codec.
        """
        coding = coding or self.coding([indices])
        for name, options in _CLIP_FORMATS:
            try:
                data = self._mux(indices, name, options)
                return Clip(_marked(data, coding), 0 if name == "matroska" else _rotation(data))
            except (ValueError, av.error.FFmpegError):
                continue  # this format does not take the codec, or wrote no track of it
        raise UnsupportedCodec(
            f"no clip format takes codec {self.codec}",
            metadata={"codec": self.codec, "profile": self.profile},
        )

    def _mux(self, indices: Sequence[int], format_name: str, options: dict[str, str]) -> bytes:
        rank = self._ranks(indices)
        delay = self._delay(indices)  # so that no frame is shown before it is decoded
        buffer = io.BytesIO()
        output: OutputContainer
        with av.open(buffer, "w", format=format_name, options=options) as output:
            track = output.add_stream_from_template(self._stream, opaque=True)
            for at, index in enumerate(indices):
                packet = self._packets[index]
                packet.stream = track
                packet.time_base = _CLIP_TICK
                packet.dts = at * _CLIP_FRAME_TICKS
                packet.pts = (rank[at] + delay) * _CLIP_FRAME_TICKS
                packet.duration = _CLIP_FRAME_TICKS
                output.mux(packet)
        return buffer.getvalue()

    def _ranks(self, indices: Sequence[int]) -> dict[int, int]:
        """Places in presentation order, by places in decode order."""
        by_time = sorted(range(len(indices)), key=lambda at: (self.samples[indices[at]].time_s, at))
        return {at: place for place, at in enumerate(by_time)}

    def _delay(self, indices: Sequence[int]) -> int:
        return max(at - rank for at, rank in self._ranks(indices).items())


@contextmanager
def open_video(source: BinaryIO) -> Iterator[Video]:
    """Opens the best video stream of a media file and reads its packets.

    Raises NotAVideo, NoVideoStream, CorruptVideo or UnsupportedCodec.
    """
    try:
        container = av.open(source, "r", options=_OPEN_OPTIONS)
    except (av.error.FFmpegError, UnicodeDecodeError) as error:
        raise NotAVideo(f"no media container that can be read: {_reason(error)}", field="source") from None
    with container:
        yield Video(container, _video_stream(container))


def _video_stream(container: InputContainer) -> VideoStream:
    stream = container.streams.best("video")
    if not isinstance(stream, VideoStream) or stream.disposition & Disposition.attached_pic:
        raise NoVideoStream("the file has no video stream", field="source")
    if stream.codec_context is None:
        raise UnsupportedCodec(
            "the video stream's codec is unknown to this build",
            metadata={"codec": "unknown", "profile": "unknown"},
            field="source",
        )
    return stream


def _packets(container: InputContainer, stream: VideoStream) -> Iterator[VideoPacket]:
    """The stream's packets up to the end, or to the first place that cannot be read."""
    try:
        for packet in container.demux(stream):
            if packet.size:
                yield packet
    except av.error.FFmpegError:
        return  # what came before is still a video


def _samples(packets: Sequence[VideoPacket], stream: VideoStream) -> list[Sample]:
    if not packets:
        raise CorruptVideo("the video stream holds no frames", field="source")
    tick = stream.time_base or _CLIP_TICK
    samples: list[Sample] = []
    for packet in packets:
        stamp = packet.pts if packet.pts is not None else packet.dts
        if stamp is not None:
            time_s = stamp * tick.numerator / tick.denominator  # rounded once: 2.9, not 2.9000000000000004
        else:
            time_s = samples[-1].time_s if samples else 0.0
        samples.append(Sample(time_s, packet.is_keyframe, not packet.is_discard, packet.size))
    return samples


def _marked(clip: bytes, coding: Coding) -> bytes:
    if coding.matrix != BT709 or clip[4:8] != b"ftyp":
        return clip
    return clip[: _MINOR_VERSION.start] + _BT709_MARK + clip[_MINOR_VERSION.stop :]


def _rotation(clip: bytes) -> int:
    """The display rotation that FFmpeg carried from the video into the clip's track header.

    PyAV shows a stream's display matrix only on decoded frames; the clip's own `tkhd` box has it without decoding.
    Matrix: ISO/IEC 14496-12, 8.3.2; the angle as FFmpeg's av_display_rotation_get() computes it.
    """
    track = _child(_child(_child(memoryview(clip), b"moov"), b"trak"), b"tkhd")
    a, b, _, c, d = struct.unpack_from(">5i", track, 52 if track[0] else 40)
    across, down = hypot(a, c), hypot(b, d)
    if not across or not down:
        return 0
    return round(-degrees(atan2(b / down, a / across)) / 90) * 90 % 360


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


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
