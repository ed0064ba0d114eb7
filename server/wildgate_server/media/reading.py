"""The ways to read a video: by its index, where it has one that can be relied on, else whole.

Either way the samples are those of the whole file, and the packets those that were asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import pairwise
from typing import TypeAlias

from wildgate_server.media.container import open_by_index, open_excerpt, open_video
from wildgate_server.media.file_view import FileView, is_fragmented, is_iso_media
from wildgate_server.media.matroska_head import is_cut_short, is_matroska
from wildgate_server.media.matroska_index import MatroskaIndex
from wildgate_server.media.sample import UnfitIndex
from wildgate_server.media.sampled_video import VideoLimits
from wildgate_server.media.transport_stream_index import TransportStreamIndex, is_transport_stream
from wildgate_server.media.video import IndexedTrack, Reading, Video
from wildgate_server.source.byte_source import ByteSource

__all__ = ["WAYS_TO_READ", "Way"]

_WORTH_IT = 3 << 20  # what smaller files hold between keyframes is worth more than not reading it
_ROUNDING_S = 1e-6  # presentation times are rationals rounded to floats


@contextmanager
def _by_index(file: ByteSource, limits: VideoLimits, max_gap_s: float, max_excerpt_bytes: int) -> Iterator[Reading]:
    """ISO media: the index tells where every sample lies."""
    with open_by_index(file, limits) as reading:
        yield reading


@contextmanager
def _by_keyframes(file: ByteSource, limits: VideoLimits, max_gap_s: float, max_excerpt_bytes: int) -> Iterator[Reading]:
    """Excerpts of files that tell where keyframes lie: enough, where these are dense.

    Matroska and WebM have cues; in MPEG transport streams keyframes are looked for where the time says they should be.
    """
    if file.content is not None:
        raise UnfitIndex("in memory")
    if file.size < _WORTH_IT:
        raise UnfitIndex("too small to be worth it")
    index: MatroskaIndex | TransportStreamIndex
    if is_matroska(file):
        index = MatroskaIndex(file)
    elif is_transport_stream(file):
        index = TransportStreamIndex(file, max_gap_s)
    else:
        raise UnfitIndex("neither Matroska nor a transport stream")
    samples = index.samples
    gaps = (after.time_s - before.time_s for before, after in pairwise(samples))
    if any(gap > max_gap_s + _ROUNDING_S for gap in gaps) or not all(sample.is_keyframe for sample in samples[:-1]):
        raise UnfitIndex("frames between keyframes are needed")
    if samples[-1].time_s - samples[0].time_s <= max_gap_s:
        raise UnfitIndex("one keyframe is too little to look at")

    @contextmanager
    def with_packets(needed: Sequence[Sequence[int]]) -> Iterator[list[Video]]:
        [places] = needed
        excerpt = index.excerpt(places)
        if len(excerpt) > max_excerpt_bytes:
            raise UnfitIndex("the keyframes are larger than may be sent on")
        with open_excerpt(excerpt, limits, samples, places) as video:
            yield [video]

    yield Reading([IndexedTrack(samples, keyframes_only=True)], with_packets)


@contextmanager
def _whole(file: ByteSource, limits: VideoLimits, max_gap_s: float, max_excerpt_bytes: int) -> Iterator[Reading]:
    is_short = is_matroska(file) and is_cut_short(file)
    with open_video(FileView(file), limits, is_short, lambda: is_iso_media(file) and is_fragmented(file)) as videos:
        tracks = [
            IndexedTrack(
                video.samples,
                video.declared_end_s,
                video.number,
                codec=video.codec,
                pixels=video.width * video.height,
                quantiser=video.quantiser,
            )
            for video in videos
        ]
        yield Reading(tracks, lambda needed: nullcontext(videos))


Way: TypeAlias = Callable[[ByteSource, VideoLimits, float, int], AbstractContextManager[Reading]]
"""Takes a file, what it may hold, the longest gap in seconds to leave between looked-at frames, and how many bytes
these may have."""

WAYS_TO_READ: tuple[Way, ...] = (_by_index, _by_keyframes, _whole)
"""What to try on a file, the cheapest first; all but the last may raise UnfitIndex."""
