"""Media containers, read through PyAV: the packets of a video stream, and the samples that describe them.

Nothing here decodes, and nothing is opened but the bytes that are given.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import BinaryIO, cast

import av
import av.error
from av.container import Flags, InputContainer
from av.packet import Packet
from av.stream import Discard, Disposition
from av.video.stream import VideoStream

from wildgate_server.errors import CorruptVideo, InvalidVideo, NotAVideo, NoVideoStream, UnsupportedCodec, VideoTooLarge
from wildgate_server.media.file_view import FileView, IndexView, is_fragmented, is_iso_media
from wildgate_server.media.keyframe_check import keyframe_check
from wildgate_server.media.packet_samples import samples_of
from wildgate_server.media.sample import Sample, UnfitIndex
from wildgate_server.media.video import Reading, Video, VideoPacket, out_of_memory
from wildgate_server.source.byte_source import ByteRange, ByteSource

__all__ = ["open_by_index", "open_excerpt", "open_video"]

# What videos come in; and sound alone, so that it is told from what is not media at all.
_DEMUXERS = (
    "aac,ac3,amr,asf,avi,eac3,flac,flv,h264,hevc,ivf,loas,matroska,mov,mp3,mpeg,mpegts,mpegvideo,m4v,obu,ogg,wav"
)

# Untrusted input: only plain containers (a playlist would make FFmpeg open what it names), no protocol at all.
# skip_frame=all keeps FFmpeg's probing from decoding pictures: opening 720x1280 H.264 takes 3 ms then, not 25.
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


@contextmanager
def open_video(
    source: BinaryIO | FileView, is_cut_short: bool = False, is_fragmented: Callable[[], bool] = lambda: False
) -> Iterator[Video]:
    """Opens the best video stream of a media file and reads its packets; `is_cut_short` where it is known to go on.

    `is_fragmented` tells whether a file that has been read is made of ISO media fragments.

    Raises NotAVideo, NoVideoStream, CorruptVideo, UnsupportedCodec or VideoTooLarge.
    """
    try:
        container = av.open(source, "r", options=_OPEN_OPTIONS)
    except MemoryError:
        raise out_of_memory() from None
    except (av.error.FFmpegError, UnicodeDecodeError) as error:
        raise NotAVideo(f"no media container that can be read: {_ffmpeg_reason(error)}", field="source") from None
    with container:
        stream = _video_stream(container)
        packets, is_whole = _all_packets(container, stream)
        _check_one_sample_entry(packets, stream)
        is_keyframe = keyframe_check(stream.codec_context)
        for place, packet in enumerate(packets):
            # Where nothing tells, only decoding from the start is sure to be right.
            if packet.is_keyframe and not (place == 0 if (told := is_keyframe(memoryview(packet))) is None else told):
                packet.is_keyframe = False
        samples = samples_of(packets, stream, is_fragmented)
        end_s = None if is_whole and not is_cut_short else _declared_end_s(container, stream)
        yield Video(stream, samples, dict(enumerate(packets)), end_s)


@contextmanager
def open_by_index(file: ByteSource) -> Iterator[Reading]:
    """Opens the best video stream of ISO media (MP4, MOV) without reading its packets.

    Raises UnfitIndex for a file of another kind, and where packets have more to them than time, kind and bytes, or
    do not begin with a keyframe, or not all can be read; VideoTooLarge where there are too many.
    """
    if not is_iso_media(file):
        raise UnfitIndex("not ISO media")
    ranges: list[ByteRange] = []
    with ExitStack() as opened:
        try:
            view = IndexView(file)
            container = opened.enter_context(av.open(view, "r", format="mov", options=_INDEX_OPTIONS))
            stream = _video_stream(container)
            samples = samples_of(_without_bytes(container, stream, view, ranges), stream, lambda: is_fragmented(file))
        except MemoryError:
            raise out_of_memory() from None
        except (av.error.FFmpegError, UnicodeDecodeError, NoVideoStream, UnsupportedCodec, CorruptVideo) as error:
            raise UnfitIndex(_ffmpeg_reason(error)) from None
        if not samples[0].is_keyframe:
            raise UnfitIndex("the video does not begin with a keyframe")
        if any(span.start < 0 or span.end > file.size for span in ranges):
            raise UnfitIndex("packets lie outside of the file")

        def with_packets(places: Sequence[int]) -> AbstractContextManager[Video]:
            is_keyframe = keyframe_check(stream.codec_context)
            packets: dict[int, VideoPacket] = {}
            for place, content in zip(places, file.read([ranges[place] for place in places]), strict=True):
                if samples[place].is_keyframe and not is_keyframe(content):
                    raise UnfitIndex("what the index calls a keyframe is not one, or cannot be told from one")
                packets[place] = packet = cast(VideoPacket, Packet(cast(bytes, content)))  # any buffer will do
                packet.is_keyframe = samples[place].is_keyframe
            return nullcontext(Video(stream, samples, packets))

        yield Reading(samples, with_packets)


def _without_bytes(
    container: InputContainer, stream: VideoStream, view: IndexView, ranges: list[ByteRange]
) -> Iterator[VideoPacket]:
    """All packets as the index knows them, one after the other; `ranges` is filled with where their bytes lie."""
    # Seeking does away with the parser that probing took; there will be nothing to parse.
    view.hide_payloads()
    for other in container.streams:
        if other is not stream:
            other.discard = Discard.all
    container.flags |= cast(int, Flags.no_parse.value)
    container.seek(_BEFORE_ALL, any_frame=True, stream=stream)
    for count, packet in enumerate(container.demux(stream)):
        _check_count(count)
        if any(packet.iter_sidedata()):
            raise UnfitIndex("packets have side data")
        if packet.size:
            position = -1 if packet.pos is None else packet.pos
            ranges.append(ByteRange(position, position + packet.size))
            yield packet
    if count < len(stream.index_entries):  # the last packet is an empty one, for what comes after demuxing
        raise UnfitIndex("not all packets can be read")
    view.check()


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
            yield Video(video.stream, samples, dict(zip(places, video.packets.values(), strict=True)))
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
            raise out_of_memory() from None
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


def _declared_end_s(container: InputContainer, stream: VideoStream) -> float | None:
    """When the video ends, as far as the container says."""
    if stream.duration is not None and stream.time_base is not None:
        return float((max(stream.start_time or 0, 0) + stream.duration) * stream.time_base)
    if container.duration is not None and container.format.name.split(",")[0] in _SAY_HOW_LONG:
        return (max(container.start_time or 0, 0) + container.duration) / av.time_base
    return None


def _ffmpeg_reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
