"""Media containers, read and written through PyAV; the only module of the gateway that imports it.

Nothing here decodes. A `Video` has the packets of a video stream, all or some; `Video.clip` copies some of them into a
small media file of their own. An `IndexedVideo` knows where the packets lie without having read them.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from math import atan2, degrees, hypot
from typing import BinaryIO, TypeAlias, cast

import av
import av.error
from av.codec.context import CodecContext
from av.container import Flags, InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Discard, Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from wildgate_server.errors import (
    CorruptVideo,
    InvalidVideo,
    NotAVideo,
    NoVideoStream,
    UnsupportedCodec,
    VideoTooLarge,
)
from wildgate_server.media.coded_stream import DeclaredStream
from wildgate_server.media.coding import BT709, Coding
from wildgate_server.media.file_view import FileView
from wildgate_server.media.index_view import IndexView
from wildgate_server.media.picture_headers import is_h264_recovery_point, is_mpeg4_keyframe
from wildgate_server.media.sample import Sample
from wildgate_server.media.unfit_index import UnfitIndex
from wildgate_server.source.byte_ranges import ByteRange

__all__ = ["IndexedVideo", "Video", "open_excerpt", "open_indexed_video", "open_video"]

# What videos come in, and sound alone, which is to be told from what is no media at all.
_DEMUXERS = (
    "aac,ac3,amr,asf,avi,eac3,flac,flv,h264,hevc,ivf,loas,matroska,mov,mp3,mpeg,mpegts,mpegvideo,m4v,obu,ogg,wav"
)

# Untrusted input: only plain containers (a playlist would make FFmpeg open what it names), no protocol at all.
# skip_frame=all keeps FFmpeg's stream probing from decoding pictures: opening 720x1280 H.264 takes 3 ms then, not 25.
_OPEN_OPTIONS = {"format_whitelist": _DEMUXERS, "protocol_whitelist": "none", "skip_frame": "all"}

# One packet of the video tells the profile, and 32 KiB have one even where sound comes first. Probing on, for frame
# rates that nobody asks for, takes four times as long.
_INDEX_OPTIONS = {**_OPEN_OPTIONS, "analyzeduration": "0", "probesize": "32768"}
_BEFORE_ALL = -(1 << 62)  # before any time stamp

# Ten minutes at 240 frames a second. A file of some KiB can promise millions of them, all of the same bytes.
_MOST_FRAMES = 600 * 240
_MOST_STOPS = 16  # places that cannot be read, past which reading goes on
# Containers that say how long they are, all streams together; for others FFmpeg may have guessed it.
_SAY_HOW_LONG = frozenset({"matroska", "flv", "asf"})
# Codecs whose parsers in FFmpeg tell keyframes of themselves.
_TELL_KEYFRAMES = frozenset({"h264", "hevc", "vp8", "vp9", "av1"})

# The first that takes the codec. use_editlist=0: an edit list in the clip would shift or cut its first frames.
_CLIP_FORMATS: tuple[tuple[str, dict[str, str]], ...] = (
    ("mp4", {"use_editlist": "0"}),
    ("mov", {"use_editlist": "0"}),
    ("matroska", {"fflags": "+bitexact"}),  # else it gets a random identifier
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
    """Packets of one video stream, by their places among the samples, which describe all packets in decode order.

    `width` and `height` are pixels of the stored picture, as the container declares them; `format`, `codec` and
    `profile` are FFmpeg's names. `declared_end_s` is when a video that could not be read to its end says that it ends,
    in seconds; None where it was read to its end, or does not say.
    """

    def __init__(
        self,
        container: InputContainer,
        stream: VideoStream,
        samples: Sequence[Sample],
        packets: Mapping[int, VideoPacket],
        declared_end_s: float | None = None,
    ) -> None:
        context = stream.codec_context
        self._container = container
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
        self.samples = samples
        self.declared_end_s = declared_end_s
        self._packets = packets

    def standing_for(self, samples: Sequence[Sample], places: Sequence[int]) -> Video:
        """The same packets as those at `places` of the samples of a larger video."""
        packets = {place: self._packets[at] for at, place in enumerate(places)}
        return Video(self._container, self._stream, samples, packets)

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
            except MemoryError:
                raise _out_of_memory() from None
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
def open_video(source: BinaryIO | FileView, is_cut_short: bool = False) -> Iterator[Video]:
    """Opens the best video stream of a media file and reads its packets; `is_cut_short` where it is known to go on.

    Raises NotAVideo, NoVideoStream, CorruptVideo, UnsupportedCodec or VideoTooLarge.
    """
    try:
        container = av.open(source, "r", options=_OPEN_OPTIONS)
    except MemoryError:
        raise _out_of_memory() from None
    except (av.error.FFmpegError, UnicodeDecodeError) as error:
        raise NotAVideo(f"no media container that can be read: {_reason(error)}", field="source") from None
    with container:
        stream = _video_stream(container)
        packets, is_whole = _all_packets(container, stream)
        _check_one_sample_entry(packets, stream)
        test = _KeyframeTest(stream.codec_context)
        for packet in packets:
            if packet.is_keyframe and test(memoryview(packet)) is False:
                packet.is_keyframe = False
        samples = _samples([_row(packet) for packet in packets], stream)
        end_s = None if is_whole and not is_cut_short else _declared_end_s(container, stream)
        yield Video(container, stream, samples, dict(enumerate(packets)), end_s)


class IndexedVideo:
    """A video whose index was read: the samples, and the byte range of the file that holds each one's packet."""

    def __init__(
        self, container: InputContainer, stream: VideoStream, samples: Sequence[Sample], ranges: Sequence[ByteRange]
    ) -> None:
        self._container = container
        self._stream = stream
        self.samples = samples
        self.ranges = ranges

    def with_packets(self, contents: Mapping[int, bytes | memoryview]) -> Video:
        """The video with those packets whose bytes are in `contents`, by their places among the samples.

        Raises UnfitIndex where a keyframe is none by its own bytes.
        """
        test = _KeyframeTest(self._stream.codec_context)
        packets: dict[int, VideoPacket] = {}
        for at, content in contents.items():
            if self.samples[at].is_keyframe and not test(content):
                raise UnfitIndex("what the index calls a keyframe is none, or cannot be told from one")
            packets[at] = packet = cast(VideoPacket, Packet(cast(bytes, content)))  # any buffer will do
            packet.is_keyframe = self.samples[at].is_keyframe
        return Video(self._container, self._stream, self.samples, packets)


@contextmanager
def open_indexed_video(view: IndexView) -> Iterator[IndexedVideo]:
    """Opens the best video stream of ISO media without its packets.

    Raises UnfitIndex for a file of another kind, and where packets have more to them than time, kind and bytes, or
    begin with no keyframe, or not all can be read; VideoTooLarge where there are too many.
    """
    try:
        container = av.open(view, "r", format="mov", options=_INDEX_OPTIONS)
    except MemoryError:
        raise _out_of_memory() from None
    except (av.error.FFmpegError, UnicodeDecodeError) as error:
        raise UnfitIndex(_reason(error)) from None
    with container:
        yield _indexed(container, view)


def _indexed(container: InputContainer, view: IndexView) -> IndexedVideo:
    try:
        stream = _video_stream(container)
        # Seeking does away with the parser that probing took; there will be nothing to parse.
        view.hide_payloads()
        for other in container.streams:
            if other is not stream:
                other.discard = Discard.all
        container.flags |= cast(int, Flags.no_parse.value)
        container.seek(_BEFORE_ALL, any_frame=True, stream=stream)
        rows = []
        for count, packet in enumerate(container.demux(stream)):
            _check_count(count)
            if any(packet.iter_sidedata()):
                raise UnfitIndex("packets have side data")
            if packet.size:
                rows.append(_row(packet))
        if count < len(stream.index_entries):  # the last packet is an empty one, for what comes after demuxing
            raise UnfitIndex("not all packets can be read")
        view.check()
        samples = _samples(rows, stream)
    except MemoryError:
        raise _out_of_memory() from None
    except (av.error.FFmpegError, NoVideoStream, UnsupportedCodec, CorruptVideo) as error:
        raise UnfitIndex(_reason(error)) from None
    if not samples[0].is_keyframe:
        raise UnfitIndex("the video does not begin with a keyframe")
    ranges = [ByteRange(position, position + size) for _, _, _, size, position in rows]
    if any(span.start < 0 or span.end > view.size for span in ranges):
        raise UnfitIndex("packets lie outside of the file")
    return IndexedVideo(container, stream, samples, ranges)


@contextmanager
def open_excerpt(content: bytes, samples: Sequence[Sample], places: Sequence[int]) -> Iterator[Video]:
    """Opens a media file of nothing but the packets at `places` of `samples`, which were taken from a larger file.

    Raises UnfitIndex unless it has just these packets, with these times and kinds.
    """
    try:
        with open_video(io.BytesIO(content)) as video:
            found = [(sample.time_s, sample.is_keyframe) for sample in video.samples]
            if found != [(samples[place].time_s, samples[place].is_keyframe) for place in places]:
                raise UnfitIndex("the packets are not those that the index promises")
            yield video.standing_for(samples, places)
    except InvalidVideo as error:
        raise UnfitIndex(error.message) from None


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


def _all_packets(container: InputContainer, stream: VideoStream) -> tuple[list[VideoPacket], bool]:
    """The stream's packets, but for those at places that cannot be read, and whether there was no such place.

    Such a place may look like the end of the file; so the end is where nothing comes any more.
    """
    packets: list[VideoPacket] = []
    is_whole = True
    empty = 0
    for stop in range(_MOST_STOPS):
        before = len(packets)
        try:
            for packet in container.demux(stream):
                if packet.size:
                    _check_count(len(packets))
                    packets.append(packet)
                elif packet.pts is not None:
                    empty += 1
        except MemoryError:
            raise _out_of_memory() from None
        except av.error.FFmpegError:
            is_whole = False
            continue
        if len(packets) == before:
            break
        is_whole = is_whole and not stop
    if container.format.name.startswith("mov"):  # where the index has every packet
        is_whole = is_whole and len(packets) + empty >= len(stream.index_entries)
    return packets, is_whole


def _check_count(packets: int) -> None:
    if packets >= _MOST_FRAMES:
        raise VideoTooLarge.past("max_coded_frames", _MOST_FRAMES, packets + 1)


def _check_one_sample_entry(packets: Sequence[VideoPacket], stream: VideoStream) -> None:
    """Raises UnsupportedCodec where the container changes how packets are to be decoded, which a clip has no place for.

    FLV repeats what was said before; that is no change.
    """
    codec = stream.codec_context
    said = codec.extradata or b""
    for packet in packets:
        if not any(packet.iter_sidedata()):
            continue  # which is told in a sixth of the time
        if packet.has_sidedata("new_extradata") and bytes(packet.get_sidedata("new_extradata")) != said:
            raise UnsupportedCodec(
                "the codec's parameters change within the video",
                metadata={"codec": codec.codec.canonical_name, "profile": str(codec.profile or "unknown")},
                field="source",
            )


class _KeyframeTest:
    """Whether packets are keyframes by their own bytes; None for codecs of which these do not tell here."""

    def __init__(self, context: VideoCodecContext) -> None:
        self._codec = context.codec.canonical_name
        self._is_intra_only = context.codec.intra_only
        self._extradata = context.extradata or b""
        self._parser: CodecContext | None = None
        if not self._is_intra_only and self._codec in _TELL_KEYFRAMES:
            self._parser = CodecContext.create(context.codec.name, "r")
            self._parser.extradata = context.extradata

    def __call__(self, content: bytes | memoryview) -> bool | None:
        if self._is_intra_only:
            return True
        if self._codec == "mpeg4":
            return is_mpeg4_keyframe(bytes(content))
        if self._parser is None:
            return None
        try:
            pictures = [*self._parser.parse(cast(bytes, content)), *self._parser.parse(None)]
        except MemoryError:
            raise _out_of_memory() from None
        except av.error.FFmpegError:
            return False
        if any(picture.is_keyframe for picture in pictures):
            return True
        return self._codec == "h264" and is_h264_recovery_point(bytes(content), self._extradata)


def _declared_end_s(container: InputContainer, stream: VideoStream) -> float | None:
    """When the video ends, as far as the container says."""
    if stream.duration is not None and stream.time_base is not None:
        return float((max(stream.start_time or 0, 0) + stream.duration) * stream.time_base)
    if container.duration is not None and container.format.name.split(",")[0] in _SAY_HOW_LONG:
        return (max(container.start_time or 0, 0) + container.duration) / av.time_base
    return None


def _out_of_memory() -> MemoryError:
    """FFmpeg's own is also one of the errors that tell of a file's faults; this is not."""
    return MemoryError("FFmpeg has run out of memory")


# A packet without its bytes: time stamp in ticks, whether it is a keyframe, whether it is discarded, size, place.
_Row: TypeAlias = tuple[int | None, bool, bool, int, int]


def _row(packet: VideoPacket) -> _Row:
    stamp = packet.pts if packet.pts is not None else packet.dts
    return stamp, packet.is_keyframe, packet.is_discard, packet.size, -1 if packet.pos is None else packet.pos


def _samples(rows: Sequence[_Row], stream: VideoStream) -> list[Sample]:
    if not rows:
        raise CorruptVideo("the video stream holds no frames", field="source")
    tick = stream.time_base or _CLIP_TICK
    numerator, denominator = tick.numerator, tick.denominator
    samples: list[Sample] = []
    for stamp, is_keyframe, is_discard, size, _ in rows:
        before_s = samples[-1].time_s if samples else 0.0
        # Rounded once: 2.9, not 2.9000000000000004.
        time_s = before_s if stamp is None else stamp * numerator / denominator
        samples.append(Sample(time_s, is_keyframe, not is_discard, size))
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
