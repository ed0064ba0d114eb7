"""The packets of a video stream, and clips: small media files that hold only some of them. Nothing here decodes."""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from operator import attrgetter
from typing import TypeAlias

import av
import av.error
from av.container import OutputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from wildgate_server.errors import UnsupportedCodec
from wildgate_server.media.coded_stream import DeclaredStream
from wildgate_server.media.display import display_of
from wildgate_server.media.picture_headers import vp9_step
from wildgate_server.media.sample import Sample
from wildgate_server.media.sampled_video import BT709, UNKNOWN_CODING, Coding, Display

__all__ = ["Clip", "Entry", "IndexedTrack", "Reading", "Video", "VideoPacket", "out_of_memory"]


@dataclass(frozen=True, slots=True)
class _ClipFormat:
    """A container for clips, by FFmpeg's name of its muxer, and the muxer's options.

    `in_order`: it has no presentation times, so frames must be coded in the order in which they are shown. `exact`: it
    takes a codec's tag as it was, which some decoders go by, and is read again to see that it has kept all the rest.
    `named`: it has no tag for the codec, whose packets go as those of another, with the codec's name beside them; not
    for raw pictures, of which the tag says what they are.
    """

    name: str
    options: dict[str, str] = field(default_factory=dict)
    in_order: bool = False
    exact: bool = False
    named: bool = False


# The first that carries the codec. use_editlist=0: an edit list in the clip would shift or cut its first frames.
# bitexact: else Matroska gets a random identifier. AVI keeps what old codecs need beside their packets, bits per pixel
# and palettes; NUT has presentation times, and palettes too, in the version that FFmpeg calls experimental.
_NUT_OPTIONS = {"fflags": "+bitexact", "strict": "experimental", "syncpoints": "none"}
_CLIP_FORMATS = (
    _ClipFormat("mp4", {"use_editlist": "0"}),
    _ClipFormat("mov", {"use_editlist": "0"}),
    _ClipFormat("matroska", {"fflags": "+bitexact"}),
    _ClipFormat("avi", {"fflags": "+bitexact"}, in_order=True, exact=True),
    _ClipFormat("nut", _NUT_OPTIONS, exact=True),
    _ClipFormat("apng"),
    _ClipFormat("nut", _NUT_OPTIONS, exact=True, named=True),
)
_CODEC_NAME = "wildgate_codec"  # in a clip's metadata; see `model_repository/clip_decoder/1/decoding.py`
_CLIP_TICK = Fraction(1, 1000)
_CLIP_FRAME_TICKS = 40

# DALI decodes any matrix as BT.601, and a DALI pipeline cannot search a file for what it is. So an MP4 clip in BT.709
# says it at a fixed place, the minor version of its `ftyp` box (ISO/IEC 14496-12, 4.3: informative); see `dali.py`.
_MINOR_VERSION = slice(12, 16)
_BT709_MARK = b"wg\0\1"

VideoPacket: TypeAlias = "Packet[VideoStream]"


def out_of_memory() -> MemoryError:
    """FFmpeg's own is also one of the errors that tell of a file's faults; this is not."""
    return MemoryError("FFmpeg has run out of memory")


@dataclass(frozen=True, slots=True)
class Clip:
    """A media file that holds only some packets of a video, and how its picture is to be shown.

    `rank` is each frame's place in presentation order, by its place among the video's samples.
    """

    data: bytes
    rank: Mapping[int, int]
    display: Display


@dataclass(frozen=True, slots=True)
class Entry:
    """A run of packets, from the one at `start` up to the next entry's, that are decoded with the same `extradata`.

    Named after the sample entries of ISO media, of which a joined file has several; FLV changes them likewise.
    """

    start: int
    extradata: bytes


class Video:
    """Packets of one video stream, by their places among the samples, which describe all packets in decode order.

    `width` and `height` are pixels of the stored picture, as the container declares them; `format`, `codec` and
    `profile` are FFmpeg's names. `declared_end_s` is when a video that could not be read to its end says that it ends,
    in seconds; None where it was read to its end, or does not say. `number` is the stream's place
    among the file's; those of files that are joined to the first one come after its own.
    """

    def __init__(
        self,
        stream: VideoStream,
        samples: Sequence[Sample],
        packets: Mapping[int, VideoPacket],
        declared_end_s: float | None = None,
        entries: Sequence[Entry] = (),
        number: int | None = None,
    ) -> None:
        context = stream.codec_context
        self._entries = entries or [Entry(0, context.extradata or b"")]
        self.stream = stream
        self.number = stream.index if number is None else number
        self.packets = packets
        self.samples = samples
        self.declared_end_s = declared_end_s
        self.format = stream.container.format.name.split(",")[0]
        self.codec = context.codec.canonical_name
        self.profile = str(context.profile or "unknown")
        self.width = context.width
        self.height = context.height
        self._declared = DeclaredStream.of(context)

    def coding(self, clips: Sequence[Sequence[int]]) -> Coding:
        """How the packets of clips are coded; each clip is given as `clip` takes it."""
        if self.is_joined:
            return UNKNOWN_CODING
        places = sorted({place for places in clips for place in places})
        packets = ((self.samples[place].is_keyframe, memoryview(self.packets[place])) for place in places)
        return self._declared.coding(packets, max(_delay(places, self._rank(places)) for places in clips))

    @property
    def is_joined(self) -> bool:
        """Whether there are several entries."""
        return len(self._entries) > 1

    def entry(self, place: int) -> int:
        """Which entry a packet is of; a clip holds packets of one only."""
        return bisect_right(self._entries, place, key=attrgetter("start")) - 1

    @property
    def quantiser(self) -> Callable[[int], float | None] | None:
        """What tells the step by which the packet at a place is quantised; None for codecs where that is not known."""
        return (lambda place: vp9_step(memoryview(self.packets[place]))) if self.codec == "vp9" else None

    def clip(self, places: Sequence[int], coding: Coding | None = None) -> Clip:
        """A clip of the packets at `places` of the samples, ascending; `coding` is how it is coded, if that is known.

        Its frames lie in presentation order on a timeline of its own, one every 40 ms, so that what was odd in the
        video's timestamps (negative, equal, missing, far apart) cannot drop or swap frames.

        Raises UnsupportedCodec when no clip format takes the codec.
        """
        coding = coding or self.coding([places])
        rank = self._rank(places)
        delicate = self.codec == "rawvideo" or self._is_paletted(places)
        for kind in _CLIP_FORMATS:
            if (kind.in_order and _delay(places, rank)) or (kind.named and self.codec == "rawvideo"):
                continue
            try:
                data = self._mux(places, rank, kind)
                if (kind.exact or delicate) and not self._is_carried(places, data, kind):
                    continue
                return Clip(_marked(data, coding), rank, display_of(self.stream, data, kind.name))
            except MemoryError:
                raise out_of_memory() from None
            except (ValueError, av.error.FFmpegError):
                continue  # this format does not take the codec, or wrote no track of it
        raise UnsupportedCodec(
            f"no clip container can carry codec {self.codec}",
            metadata={"codec": self.codec, "profile": self.profile},
            field="source",
        )

    def _mux(self, places: Sequence[int], rank: Mapping[int, int], kind: _ClipFormat) -> bytes:
        delay = _delay(places, rank)  # so that no frame is shown before it is decoded
        buffer = io.BytesIO()
        output: OutputContainer
        with av.open(buffer, "w", format=kind.name, options=kind.options) as output:
            track = output.add_stream_from_template(_stand_in() if kind.named else self.stream, opaque=True)
            if kind.named:
                output.metadata[_CODEC_NAME] = self.stream.codec_context.codec.name
                track.codec_context.width, track.codec_context.height = self.width, self.height
                track.codec_context.extradata = self.stream.codec_context.extradata
            if self.is_joined:
                track.codec_context.extradata = self._entries[self.entry(places[0])].extradata
            if kind.exact and not kind.named:
                track.codec_context.codec_tag = self.stream.codec_context.codec_tag
            if kind.exact:
                track.time_base = _CLIP_FRAME_TICKS * _CLIP_TICK  # AVI fills all ticks between frames with empty ones
            if self._is_paletted(places):
                track.codec_context.pix_fmt = "pal8"
            for at, place in enumerate(places):
                packet = self.packets[place]
                packet.stream = track
                packet.is_keyframe = self.samples[place].is_keyframe  # the decoder starts afresh at each
                packet.time_base = _CLIP_TICK
                packet.dts = at * _CLIP_FRAME_TICKS
                packet.pts = (rank[place] + delay) * _CLIP_FRAME_TICKS
                packet.duration = _CLIP_FRAME_TICKS
                output.mux(packet)
        return buffer.getvalue()

    def _is_paletted(self, places: Sequence[int]) -> bool:
        """Whether packets have their colours beside them."""
        return self.packets[places[0]].has_sidedata("palette")

    def _is_carried(self, places: Sequence[int], clip: bytes, kind: _ClipFormat) -> bool:
        """Whether a clip is read as the packets that it was made of."""
        with av.open(io.BytesIO(clip), "r", options={"format_whitelist": kind.name, "skip_frame": "all"}) as container:
            [stream] = container.streams.video
            here, there = (_stand_in() if kind.named else self.stream).codec_context, stream.codec_context
            if there is None or (here.codec.id, here.pix_fmt) != (there.codec.id, there.pix_fmt):
                return False
            if self._is_paletted(places) and here.bits_per_coded_sample != there.bits_per_coded_sample:
                return False
            found = _contents(packet for packet in container.demux(stream) if packet.size)
        return found == _contents(self.packets[place] for place in places)

    def _rank(self, places: Sequence[int]) -> dict[int, int]:
        by_time = sorted(places, key=lambda place: (self.samples[place].time_s, place))
        return {place: rank for rank, place in enumerate(by_time)}


@dataclass(frozen=True, slots=True)
class IndexedTrack:
    """A video track's samples, in decode order, and its number among the file's streams.

    `declared_end_s` is when a track that cannot be read to its end says that it ends, in seconds, if it does.
    `keyframes_only`: the samples between keyframes are not known, so nor is how long a frame is shown. `codec` is
    FFmpeg's name, empty where only keyframes are known, and `pixels` those of a stored picture, then 0. `quantiser` is
    that of `Video`, None also where packets are not read.
    """

    samples: Sequence[Sample]
    declared_end_s: float | None = None
    number: int = 0
    keyframes_only: bool = False
    codec: str = ""
    pixels: int = 0
    quantiser: Callable[[int], float | None] | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """A file's video tracks, and how to open them with the packets of some samples of each.

    Opening raises UnfitIndex where the file is not what its index says, or what `open_video` raises.
    """

    tracks: Sequence[IndexedTrack]
    open: Callable[[Sequence[Sequence[int]]], AbstractContextManager[Sequence[Video]]]


def _contents(packets: Iterable[VideoPacket]) -> list[tuple[bool, bytes, bytes]]:
    """Of each packet whether it is a keyframe, its bytes, and the palette in force."""
    contents: list[tuple[bool, bytes, bytes]] = []
    palette = b""
    for packet in packets:
        if packet.has_sidedata("palette"):
            palette = bytes(packet.get_sidedata("palette"))
        contents.append((packet.is_keyframe, bytes(packet), palette))
    return contents


@cache
def _stand_in() -> VideoStream:
    """A stream of a codec that NUT has a tag for, and of which FFmpeg touches no packet: nothing of it is decoded."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="nut", options={"fflags": "+bitexact"}) as output:
        track = output.add_mux_stream("zmbv", rate=25, width=16, height=16)
        packet = Packet(b"\0")
        packet.stream, packet.pts, packet.dts, packet.time_base = track, 0, 0, _CLIP_TICK
        output.mux(packet)
    return av.open(io.BytesIO(buffer.getvalue()), "r", options={"skip_frame": "all"}).streams.video[0]


def _delay(places: Sequence[int], rank: Mapping[int, int]) -> int:
    """The largest number of places by which a frame is coded before its turn to be shown."""
    return max(at - rank[place] for at, place in enumerate(places))


def _marked(clip: bytes, coding: Coding) -> bytes:
    if coding.matrix != BT709 or clip[4:8] != b"ftyp":
        return clip
    return clip[: _MINOR_VERSION.start] + _BT709_MARK + clip[_MINOR_VERSION.stop :]
