"""ISO media by their index: where the packets lie, without having read them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import cast

import av
import av.error
from av.container import Flags, InputContainer
from av.packet import Packet
from av.stream import Discard
from av.video.stream import VideoStream

from wildgate_server.errors import CorruptVideo, NoVideoStream, UnsupportedCodec
from wildgate_server.media.container import (
    OPEN_OPTIONS,
    check_count,
    ffmpeg_reason,
    packet_row,
    samples_of,
    video_stream,
)
from wildgate_server.media.index_view import IndexView
from wildgate_server.media.keyframe_check import KeyframeCheck
from wildgate_server.media.sample import Sample
from wildgate_server.media.unfit_index import UnfitIndex
from wildgate_server.media.video import Video, VideoPacket, out_of_memory
from wildgate_server.source.byte_ranges import ByteRange

__all__ = ["IndexedVideo", "open_indexed_video"]

# One packet of the video tells the profile, and 32 KiB have one even where sound comes first. Probing on, for frame
# rates that nobody asks for, takes four times as long.
_OPTIONS = {**OPEN_OPTIONS, "analyzeduration": "0", "probesize": "32768"}
_BEFORE_ALL = -(1 << 62)  # before any time stamp


class IndexedVideo:
    """A video whose index was read: the samples, and the byte range of the file that holds each one's packet."""

    def __init__(self, stream: VideoStream, samples: Sequence[Sample], ranges: Sequence[ByteRange]) -> None:
        self._stream = stream
        self.samples = samples
        self.ranges = ranges

    def with_packets(self, contents: Mapping[int, bytes | memoryview]) -> Video:
        """The video with those packets whose bytes are in `contents`, by their places among the samples.

        Raises UnfitIndex where a keyframe is not one by its own bytes.
        """
        is_keyframe = KeyframeCheck(self._stream.codec_context)
        packets: dict[int, VideoPacket] = {}
        for at, content in contents.items():
            if self.samples[at].is_keyframe and not is_keyframe(content):
                raise UnfitIndex("what the index calls a keyframe is not one, or cannot be told from one")
            packets[at] = packet = cast(VideoPacket, Packet(cast(bytes, content)))  # any buffer will do
            packet.is_keyframe = self.samples[at].is_keyframe
        return Video(self._stream, self.samples, packets)


@contextmanager
def open_indexed_video(view: IndexView) -> Iterator[IndexedVideo]:
    """Opens the best video stream of ISO media without its packets.

    Raises UnfitIndex for a file of another kind, and where packets have more to them than time, kind and bytes, or
    do not begin with a keyframe, or not all can be read; VideoTooLarge where there are too many.
    """
    try:
        container = av.open(view, "r", format="mov", options=_OPTIONS)
    except MemoryError:
        raise out_of_memory() from None
    except (av.error.FFmpegError, UnicodeDecodeError) as error:
        raise UnfitIndex(ffmpeg_reason(error)) from None
    with container:
        yield _indexed(container, view)


def _indexed(container: InputContainer, view: IndexView) -> IndexedVideo:
    try:
        stream = video_stream(container)
        # Seeking does away with the parser that probing took; there will be nothing to parse.
        view.hide_payloads()
        for other in container.streams:
            if other is not stream:
                other.discard = Discard.all
        container.flags |= cast(int, Flags.no_parse.value)
        container.seek(_BEFORE_ALL, any_frame=True, stream=stream)
        rows = []
        for count, packet in enumerate(container.demux(stream)):
            check_count(count)
            if any(packet.iter_sidedata()):
                raise UnfitIndex("packets have side data")
            if packet.size:
                rows.append(packet_row(packet))
        if count < len(stream.index_entries):  # the last packet is an empty one, for what comes after demuxing
            raise UnfitIndex("not all packets can be read")
        view.check()
        samples = samples_of(rows, stream)
    except MemoryError:
        raise out_of_memory() from None
    except (av.error.FFmpegError, NoVideoStream, UnsupportedCodec, CorruptVideo) as error:
        raise UnfitIndex(ffmpeg_reason(error)) from None
    if not samples[0].is_keyframe:
        raise UnfitIndex("the video does not begin with a keyframe")
    ranges = [ByteRange(row.position, row.position + row.size) for row in rows]
    if any(span.start < 0 or span.end > view.size for span in ranges):
        raise UnfitIndex("packets lie outside of the file")
    return IndexedVideo(stream, samples, ranges)
