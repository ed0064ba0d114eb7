"""The ways to read a video: by its index, where it has one that can be relied on, else whole.

Either way the samples are those of the whole file, and the packets those that were asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

from wildgate_server.media.container import open_excerpt, open_indexed_video, open_video
from wildgate_server.media.file_view import FileView
from wildgate_server.media.index_view import IndexView, is_iso_media
from wildgate_server.media.matroska_head import is_cut_short, is_matroska
from wildgate_server.media.matroska_index import MatroskaIndex
from wildgate_server.media.sample import Sample
from wildgate_server.media.transport_stream_index import TransportStreamIndex, is_transport_stream
from wildgate_server.media.unfit_index import UnfitIndex
from wildgate_server.media.video import Video
from wildgate_server.source.byte_source import ByteSource

__all__ = ["WAYS_TO_READ", "Reading", "Way"]

_ROUNDING_S = 1e-6  # presentation times are rationals rounded to floats


@dataclass(frozen=True, slots=True)
class Reading:
    """A video's samples, in decode order, and how to open it with the packets of some of them.

    `declared_end_s` is when a video that cannot be read to its end says that it ends, in seconds, if it does.
    Opening raises UnfitIndex where the file is not what its index says, or what `open_video` raises.
    """

    samples: Sequence[Sample]
    open: Callable[[Sequence[int]], AbstractContextManager[Video]]
    declared_end_s: float | None = None


@contextmanager
def _by_index(file: ByteSource, max_gap_s: float, max_excerpt_bytes: int) -> Iterator[Reading]:
    """ISO media: the index tells where every sample lies."""
    if not is_iso_media(file):
        raise UnfitIndex("not ISO media")
    with open_indexed_video(IndexView(file)) as video:

        def with_packets(needed: Sequence[int]) -> AbstractContextManager[Video]:
            contents = file.read([video.ranges[place] for place in needed])
            return nullcontext(video.with_packets(dict(zip(needed, contents, strict=True))))

        yield Reading(video.samples, with_packets)


@contextmanager
def _by_cues(file: ByteSource, max_gap_s: float, max_excerpt_bytes: int) -> Iterator[Reading]:
    """Matroska and WebM: the cues tell where keyframes lie; enough, where these are dense."""
    if file.content is not None or not is_matroska(file):
        raise UnfitIndex("in memory, or not Matroska")
    yield _of_keyframes(MatroskaIndex(file), max_gap_s, max_excerpt_bytes)


@contextmanager
def _by_time(file: ByteSource, max_gap_s: float, max_excerpt_bytes: int) -> Iterator[Reading]:
    """MPEG transport streams: keyframes are looked for where the time says they should be."""
    if file.content is not None or not is_transport_stream(file):
        raise UnfitIndex("in memory, or not a transport stream")
    yield _of_keyframes(TransportStreamIndex(file, max_gap_s), max_gap_s, max_excerpt_bytes)


def _of_keyframes(index: MatroskaIndex | TransportStreamIndex, max_gap_s: float, max_excerpt_bytes: int) -> Reading:
    """Reads excerpts of the file. Raises UnfitIndex where frames between keyframes are to close a gap."""
    samples = index.samples
    gaps = (after.time_s - before.time_s for before, after in pairwise(samples))
    if any(gap > max_gap_s + _ROUNDING_S for gap in gaps) or not all(sample.is_keyframe for sample in samples[:-1]):
        raise UnfitIndex("frames between keyframes are needed")

    def with_packets(needed: Sequence[int]) -> AbstractContextManager[Video]:
        excerpt = index.excerpt(needed)
        if len(excerpt) > max_excerpt_bytes:
            raise UnfitIndex("the keyframes are larger than may be sent on")
        return open_excerpt(excerpt, samples, needed)

    return Reading(samples, with_packets)


@contextmanager
def _whole(file: ByteSource, max_gap_s: float, max_excerpt_bytes: int) -> Iterator[Reading]:
    with open_video(FileView(file), is_cut_short=is_matroska(file) and is_cut_short(file)) as video:
        yield Reading(video.samples, lambda needed: nullcontext(video), video.declared_end_s)


Way: TypeAlias = Callable[[ByteSource, float, int], AbstractContextManager[Reading]]
"""Takes a file, the longest gap in seconds to leave between looked-at frames, and the bytes that these may have."""

WAYS_TO_READ: tuple[Way, ...] = (_by_index, _by_cues, _by_time, _whole)
"""What to try on a file, the one that reads least first; all but the last may raise UnfitIndex."""
