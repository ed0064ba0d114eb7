"""The ways to read a video: by its index, where it has one that can be relied on, else whole.

Whichever way, the samples are those of the whole file, and of the packets those are there that were asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

from wildgate_server.media.container import Video, open_excerpt, open_indexed_video, open_video
from wildgate_server.media.file_view import FileView
from wildgate_server.media.index_view import IndexView, is_iso_media
from wildgate_server.media.matroska_index import MatroskaIndex, is_cut_short, is_matroska
from wildgate_server.media.transport_stream_index import TransportStreamIndex, is_transport_stream
from wildgate_server.media.unfit_index import UnfitIndex
from wildgate_server.sampling.plan import Sample, SamplingConfig
from wildgate_server.source.byte_ranges import ByteSource

__all__ = ["WAYS_TO_READ", "Reading", "Way"]


_ROUNDING_S = 1e-6  # presentation times are rationals rounded to floats


@dataclass(frozen=True, slots=True)
class Reading:
    """A video's samples, in decode order, and how to open it with the packets of some of them.

    `declared_end_s` is when a video that cannot be read to its end says that it ends, in seconds, if it does.
    Opening raises UnfitIndex where the file turns out to be other than its index says, or what `open_video` raises.
    """

    samples: Sequence[Sample]
    open: Callable[[Sequence[int]], AbstractContextManager[Video]]
    declared_end_s: float | None = None


@contextmanager
def _by_index(file: ByteSource, config: SamplingConfig) -> Iterator[Reading]:
    """ISO media: the index tells of every sample where it lies."""
    if not is_iso_media(file):
        raise UnfitIndex("no ISO media")
    with open_indexed_video(IndexView(file)) as video:

        def with_packets(needed: Sequence[int]) -> AbstractContextManager[Video]:
            contents = file.read([video.ranges[place] for place in needed])
            return nullcontext(video.with_packets(dict(zip(needed, contents, strict=True))))

        yield Reading(video.samples, with_packets)


@contextmanager
def _by_cues(file: ByteSource, config: SamplingConfig) -> Iterator[Reading]:
    """Matroska and WebM: the cues tell of keyframes where they lie; enough, where these are dense."""
    if file.content is not None or not is_matroska(file):
        raise UnfitIndex("in memory, or no Matroska")
    index = MatroskaIndex(file)
    _check_dense(index.samples, config)

    def with_packets(needed: Sequence[int]) -> AbstractContextManager[Video]:
        return open_excerpt(_bounded(index.excerpt(needed), config), index.samples, needed)

    yield Reading(index.samples, with_packets)


@contextmanager
def _by_time(file: ByteSource, config: SamplingConfig) -> Iterator[Reading]:
    """MPEG transport streams: keyframes are looked for where the time says they should be."""
    if file.content is not None or not is_transport_stream(file):
        raise UnfitIndex("in memory, or no transport stream")
    index = TransportStreamIndex(file, config.max_gap_s)
    _check_dense(index.samples, config)

    def with_packets(needed: Sequence[int]) -> AbstractContextManager[Video]:
        return open_excerpt(_bounded(index.excerpt(needed), config), index.samples, needed)

    yield Reading(index.samples, with_packets)


def _check_dense(samples: Sequence[Sample], config: SamplingConfig) -> None:
    """Raises UnfitIndex unless keyframes alone leave no gap that the frames between them are to close."""
    *keyframes, last = samples
    gaps = [after.time_s - before.time_s for before, after in pairwise([*keyframes, last])]
    if any(gap > config.max_gap_s + _ROUNDING_S for gap in gaps) or not all(sample.is_keyframe for sample in keyframes):
        raise UnfitIndex("frames between keyframes are needed")


def _bounded(excerpt: bytes, config: SamplingConfig) -> bytes:
    if len(excerpt) > config.max_clip_bytes:
        raise UnfitIndex("the keyframes are larger than may be sent on")
    return excerpt


@contextmanager
def _whole(file: ByteSource, config: SamplingConfig) -> Iterator[Reading]:
    with open_video(FileView(file), is_cut_short=is_matroska(file) and is_cut_short(file)) as video:
        yield Reading(video.samples, lambda needed: nullcontext(video), video.declared_end_s)


Way: TypeAlias = Callable[[ByteSource, SamplingConfig], AbstractContextManager[Reading]]

WAYS_TO_READ: tuple[Way, ...] = (_by_index, _by_cues, _by_time, _whole)
"""What to try on a file, that which reads least first; all but the last may raise UnfitIndex."""
