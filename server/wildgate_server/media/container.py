"""Media containers, read through PyAV: the packets of a video stream, and the samples that describe them.

Nothing here decodes, and nothing is opened but the bytes that are given.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import replace
from typing import BinaryIO, cast

import av
import av.error
from av.container import Flags, InputContainer
from av.packet import Packet, PacketSideData
from av.stream import Discard, Disposition
from av.video.stream import VideoStream

from wildgate_server.errors import CorruptVideo, InvalidVideo, NotAVideo, NoVideoStream, UnsupportedCodec, VideoTooLarge
from wildgate_server.media.file_view import FileView, IndexView, is_fragmented, is_iso_media
from wildgate_server.media.joined_files import Track, last_place, next_files
from wildgate_server.media.keyframe_check import keyframe_check
from wildgate_server.media.packet_samples import samples_of, without_empty_ends
from wildgate_server.media.parameter_sets import missing_parameter_sets
from wildgate_server.media.sample import Sample, UnfitIndex
from wildgate_server.media.sampled_video import VideoLimits
from wildgate_server.media.video import Entry, IndexedTrack, Reading, Video, VideoPacket, out_of_memory
from wildgate_server.source.byte_source import ByteRange, ByteSource

__all__ = ["open_by_index", "open_excerpt", "open_video"]

# Untrusted input: no protocol at all. skip_frame=all keeps FFmpeg's probing from decoding pictures: opening 720x1280
# H.264 takes 3 ms then, not 25.
_OPEN_OPTIONS = {"protocol_whitelist": "none", "skip_frame": "all"}

# One packet of the video tells the profile, and 32 KiB have one even where sound comes first. Probing on, for frame
# rates that are not used here, takes four times as long.
_INDEX_OPTIONS = {**_OPEN_OPTIONS, "analyzeduration": "0", "probesize": "32768"}
# Pictures that no player shows as video: cover art, thumbnails of chapters, tiles of a larger picture.
_NO_VIDEO = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.dependent
_BEFORE_ALL = -(1 << 62)  # before any time stamp

# Ten minutes at 240 frames a second. A file of some KiB can promise millions of them, all of the same bytes.
_MOST_FRAMES = 600 * 240
_MOST_STOPS = 16  # places that cannot be read, past which reading goes on
_MOST_JOINED = 64  # files in one
_WHOLLY = (b"cenc", b"cbc1")  # schemes of encryption, as FFmpeg has them before a packet's side data
# Containers that say how long they are, all streams together; for others FFmpeg may have guessed it.
_SAY_HOW_LONG = frozenset({"matroska", "flv", "asf"})


@contextmanager
def open_video(
    source: BinaryIO | FileView,
    limits: VideoLimits,
    is_cut_short: bool = False,
    is_fragmented: Callable[[], bool] = lambda: False,
) -> Iterator[list[Video]]:
    """Opens the video tracks of a media file and reads their packets; `is_cut_short` where it is known to go on.

    The track that a player shows by default comes first; one without any frame is left out.

    `is_fragmented` tells whether a file that has been read is made of ISO media fragments.

    Raises NotAVideo, NoVideoStream, CorruptVideo, UnsupportedCodec or VideoTooLarge.
    """
    options = {**_OPEN_OPTIONS, "format_whitelist": ",".join(limits.containers)}
    try:
        container = av.open(source, "r", options=options)
    except MemoryError:
        raise out_of_memory() from None
    except (av.error.FFmpegError, UnicodeDecodeError) as error:
        raise NotAVideo(f"not a media file that can be read: {_ffmpeg_reason(error)}", field="source") from None
    with container, ExitStack() as opened:
        streams = _video_streams(container, limits)
        packets, is_whole = _all_packets(container, streams)
        tracks = [Track(stream, stream.index, packets[stream.index]) for stream in streams]
        more = _add_joined(source, container, tracks, limits, opened)
        is_whole = (is_whole or any(track.begun for track in tracks)) and not is_cut_short
        videos = [_video(track, is_whole, is_fragmented) for track in tracks if track.packets]
        videos += [_video(track, True, is_fragmented) for track in more]
        if not videos:
            raise CorruptVideo("the video stream holds no frames", field="source")
        yield videos


def _add_joined(
    source: BinaryIO | FileView,
    first: InputContainer,
    tracks: Sequence[Track],
    limits: VideoLimits,
    opened: ExitStack,
) -> list[Track]:
    """Adds what files hold that are joined to the first one: to `tracks` what goes on where these end.

    All else, of another codec or read by FFmpeg as part of the first file, becomes a track of its own, which are
    returned: players differ in which they show. Raises VideoTooLarge where there are too many files.
    """
    format_name = first.format.name.split(",")[0]
    more: list[Track] = []
    known: set[int] = set()
    number = len(first.streams)
    for count, joined in enumerate(next_files(source, format_name, max(track.end for track in tracks))):
        if count >= _MOST_JOINED:
            raise VideoTooLarge.past("max_joined_files", _MOST_JOINED, count + 1)
        try:
            file = av.open(joined.data, "r", format=joined.name, options=_OPEN_OPTIONS)
            others = _video_streams(opened.enter_context(file), limits)
        except MemoryError:
            raise out_of_memory() from None
        except (av.error.FFmpegError, UnicodeDecodeError, NotAVideo, NoVideoStream):
            continue
        packets, _ = _all_packets(file, others)
        if format_name != "mpegts":  # of which FFmpeg takes all frames for the last codec's
            known = known or {identity for track in tracks for identity in track.identities()}
        taken: list[Track] = []
        for stream in others:
            found = Track(stream, number + stream.index, packets[stream.index], joined.start)
            identities = found.identities()
            new = [packet for packet, known_as in zip(found.packets, identities, strict=True) if known_as not in known]
            if not new:
                continue
            known.update(identities)
            found = replace(found, packets=new)
            _check_count(sum(len(track.packets) for track in (*tracks, *more, found)))
            goes_on = next((track for track in (*tracks, *more) if track.takes(found) and track not in taken), None)
            if goes_on is not None:
                goes_on.add(found)
            else:
                more.append(found)
                _check_tracks(len(tracks) + len(more), limits)
            taken.append(goes_on or found)
        joined.end = joined.start + max(map(last_place, packets.values()), default=0)
        number += len(file.streams)
    return more


def _video(track: Track, is_whole: bool, is_fragmented: Callable[[], bool]) -> Video:
    stream, packets = track.stream, track.packets
    if "enc_key_id" in stream.metadata or any(map(_is_encrypted, packets)):  # Matroska says it of the whole track
        raise CorruptVideo("the video is encrypted", field="source")
    entries = _entries(packets, stream, track.begun)
    ends = [*(entry.start for entry in entries[1:]), len(packets)]
    for entry, end in zip(entries, ends, strict=True):
        is_keyframe = keyframe_check(stream.codec_context, entry.extradata)
        for place, packet in enumerate(packets[entry.start : end]):
            if is_keyframe is None:
                packet.is_keyframe = not place  # where nothing tells, only decoding from the start is sure to be right
            elif packet.is_keyframe and not is_keyframe(memoryview(packet)):
                packet.is_keyframe = False
    samples = without_empty_ends(
        samples_of(packets, stream, is_fragmented), stream.codec_context, lambda place: memoryview(packets[place])
    )
    codec = stream.codec_context.codec.canonical_name
    for entry, end in zip(entries, ends, strict=True):
        for place, sets in missing_parameter_sets(codec, entry.extradata, packets[entry.start : end]).items():
            whole = cast(VideoPacket, Packet(sets + bytes(packets[entry.start + place])))
            whole.is_keyframe = True
            packets[entry.start + place] = whole
    end_s = None if is_whole else _declared_end_s(cast(InputContainer, stream.container), stream)
    return Video(stream, samples, dict(enumerate(packets)), end_s, entries, track.number)


def _is_encrypted(packet: VideoPacket) -> bool:
    """Whether all of a packet's picture is noise, which now and then has the form of a sound frame.

    Other schemes encrypt one block of several (ISO/IEC 23001-7, 10): what of it can be decoded is looked at.
    """
    return packet.has_sidedata("encryption_info") and bytes(packet.get_sidedata("encryption_info"))[:4] in _WHOLLY


@contextmanager
def open_by_index(file: ByteSource, limits: VideoLimits) -> Iterator[Reading]:
    """Opens the video tracks of ISO media (MP4, MOV) without reading their packets.

    Raises UnfitIndex for a file of another kind, and where packets have more to them than time, kind and bytes, or
    do not begin with a keyframe, or not all can be read; VideoTooLarge where there are too many.
    """
    if not is_iso_media(file):
        raise UnfitIndex("not ISO media")
    with ExitStack() as opened:
        try:
            view = IndexView(file)
            container = opened.enter_context(av.open(view, "r", format="mov", options=_INDEX_OPTIONS))
            streams = _video_streams(container, limits)
            if any(stream.codec_context.pix_fmt == "pal8" for stream in streams):
                raise UnfitIndex("the palette comes only once, with the packet that probing takes")
            ranges: list[list[ByteRange]] = [[] for _ in streams]
            samples = [
                _indexed(file, _without_bytes(container, stream, view, spans), stream, spans)
                for stream, spans in zip(streams, ranges, strict=True)
            ]
        except MemoryError:
            raise out_of_memory() from None
        except (av.error.FFmpegError, UnicodeDecodeError, NoVideoStream, UnsupportedCodec, CorruptVideo) as error:
            raise UnfitIndex(_ffmpeg_reason(error)) from None
        if not all(of_track[0].is_keyframe for of_track in samples):
            raise UnfitIndex("the video does not begin with a keyframe")
        if any(span.start < 0 or span.end > file.size for spans in ranges for span in spans):
            raise UnfitIndex("packets lie outside of the file")

        def with_packets(needed: Sequence[Sequence[int]]) -> AbstractContextManager[list[Video]]:
            wanted = [spans[place] for spans, places in zip(ranges, needed, strict=True) for place in places]
            contents = iter(file.read(wanted))
            parts = zip(streams, samples, needed, strict=True)
            return nullcontext([_with_bytes(stream, known, places, contents) for stream, known, places in parts])

        tracks = [
            IndexedTrack(
                known,
                number=stream.index,
                codec=stream.codec_context.codec.canonical_name,
                pixels=stream.codec_context.width * stream.codec_context.height,
            )
            for known, stream in zip(samples, streams, strict=True)
        ]
        yield Reading(tracks, with_packets)


def _indexed(
    file: ByteSource, packets: Iterator[VideoPacket], stream: VideoStream, spans: Sequence[ByteRange]
) -> Sequence[Sample]:
    """The samples of a track by its index; `spans` is where packets lie, once these have been gone through."""

    def packet_at(place: int) -> bytes | None:
        return file.at_hand(spans[place]) if file.has(spans[place]) else None

    samples = samples_of(packets, stream, lambda: is_fragmented(file))
    return without_empty_ends(samples, stream.codec_context, packet_at)


def _with_bytes(
    stream: VideoStream, samples: Sequence[Sample], places: Sequence[int], contents: Iterator[memoryview]
) -> Video:
    """The packets at `places` of an index, whose bytes come next of `contents`."""
    is_keyframe = keyframe_check(stream.codec_context)
    packets: dict[int, VideoPacket] = {}
    for place in places:
        content = next(contents)
        if samples[place].is_keyframe and not (is_keyframe and is_keyframe(content)):
            raise UnfitIndex("what the index calls a keyframe is not one, or cannot be told from one")
        packets[place] = packet = cast(VideoPacket, Packet(cast(bytes, content)))  # any buffer will do
        packet.is_keyframe = samples[place].is_keyframe
    return Video(stream, samples, packets)


def _without_bytes(
    container: InputContainer, stream: VideoStream, view: IndexView, ranges: list[ByteRange]
) -> Iterator[VideoPacket]:
    """All packets as the index knows them, one after the other; `ranges` is filled with where their bytes lie."""
    # Seeking does away with the parser that probing took; there will be nothing to parse.
    view.hide_payloads()
    for other in container.streams:
        other.discard = Discard.default if other is stream else Discard.all
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
def open_excerpt(
    content: bytes, limits: VideoLimits, samples: Sequence[Sample], places: Sequence[int]
) -> Iterator[Video]:
    """Opens a media file of nothing but the packets at `places` of `samples`, which were taken from a larger file.

    Raises UnfitIndex unless it has just these packets, with these times and kinds, of one track.
    """
    try:
        with open_video(io.BytesIO(content), limits) as [video, *others]:
            found = [(sample.time_s, sample.is_keyframe) for sample in video.samples]
            if others or found != [(samples[place].time_s, samples[place].is_keyframe) for place in places]:
                raise UnfitIndex("the packets are not those that the index promises")
            yield Video(video.stream, samples, dict(zip(places, video.packets.values(), strict=True)))
    except InvalidVideo as error:
        raise UnfitIndex(error.message) from None


def _video_streams(container: InputContainer, limits: VideoLimits) -> list[VideoStream]:
    """The streams that a player could show, the one that it shows by default first."""
    streams = [stream for stream in container.streams.video if not stream.disposition & _NO_VIDEO]
    if not streams:
        raise NoVideoStream("the file has no video stream", field="source")
    _check_tracks(len(streams), limits)
    for stream in streams:
        if stream.codec_context is None:
            raise UnsupportedCodec(
                f"the codec of video stream {stream.index} is unknown to this build",
                metadata={"codec": "unknown", "profile": "unknown"},
                field="source",
            )
    return sorted(streams, key=lambda stream: not stream.disposition & Disposition.default)


def _all_packets(
    container: InputContainer, streams: Sequence[VideoStream]
) -> tuple[dict[int, list[VideoPacket]], bool]:
    """The packets of each stream that can be read, and whether these are all.

    A place that cannot be read may look like the end of the file, so the end is where no more packets come.
    """
    packets: dict[int, list[VideoPacket]] = {stream.index: [] for stream in streams}
    is_whole = True
    count = empty = 0
    for stop in range(_MOST_STOPS):
        before = count
        try:
            for packet in container.demux(*streams):
                if packet.size:
                    _check_count(count)
                    count += 1
                    packets[packet.stream_index].append(cast(VideoPacket, packet))
                elif packet.pts is not None:
                    empty += 1
        except MemoryError:
            raise out_of_memory() from None
        except IndexError:  # PyAV's own, at the end of a file in which streams have appeared that its header has not
            break
        except av.error.FFmpegError:
            is_whole = False
            continue
        if count == before:
            break
        is_whole = is_whole and not stop
    if container.format.name.startswith("mov"):  # where the index has every packet
        is_whole = is_whole and count + empty >= sum(len(stream.index_entries) for stream in streams)
    return packets, is_whole


def _check_tracks(tracks: int, limits: VideoLimits) -> None:
    if tracks > limits.max_tracks:
        raise VideoTooLarge.past("max_tracks", limits.max_tracks, tracks)


def _check_count(packets: int) -> None:
    if packets >= _MOST_FRAMES:
        raise VideoTooLarge.past("max_coded_frames", _MOST_FRAMES, packets + 1)


def _entries(packets: Sequence[VideoPacket], stream: VideoStream, begun: Mapping[int, bytes]) -> list[Entry]:
    """The runs of packets that are decoded by the same parameters, as the container tells them; the first is at 0.

    `begun` has the parameters of files that begin at some places.

    FLV repeats earlier parameters, which is not a change. A palette is in force until the next one but sent once: here
    every packet gets its own.
    """
    entries = [Entry(0, stream.codec_context.extradata or b"")]
    palette: PacketSideData | None = None
    for place, packet in enumerate(packets):
        if begun.get(place, entries[-1].extradata) != entries[-1].extradata:
            entries.append(Entry(place, begun[place]))
        if any(packet.iter_sidedata()):  # which is told in a sixth of the time
            if packet.has_sidedata("new_extradata"):
                extradata = bytes(packet.get_sidedata("new_extradata"))
                if extradata != entries[-1].extradata:
                    entries.append(Entry(place, extradata))
            if packet.has_sidedata("palette"):
                palette = packet.get_sidedata("palette")
        if palette is not None and not packet.has_sidedata("palette"):
            packet.set_sidedata(palette)
    return entries if len(entries) < 2 or entries[1].start else entries[1:]


def _declared_end_s(container: InputContainer, stream: VideoStream) -> float | None:
    """When the video ends, as far as the container says."""
    if stream.duration is not None and stream.time_base is not None:
        return float((max(stream.start_time or 0, 0) + stream.duration) * stream.time_base)
    if container.duration is not None and container.format.name.split(",")[0] in _SAY_HOW_LONG:
        return (max(container.start_time or 0, 0) + container.duration) / av.time_base
    return None


def _ffmpeg_reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
