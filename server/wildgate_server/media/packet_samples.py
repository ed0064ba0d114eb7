"""The samples that the packets of a video stream are: when each is shown, by the container's clock or without one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from itertools import takewhile

from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from wildgate_server.errors import CorruptVideo
from wildgate_server.media.nal_syntax import NAL_SYNTAX
from wildgate_server.media.presentation_order import MOST_REORDERED, presentation_order
from wildgate_server.media.sample import Sample, UnfitIndex
from wildgate_server.media.timeline import (
    DEFAULT_FRAME_RATE,
    FASTEST_RATE,
    Clock,
    has_stopped,
    times_at_rate,
    times_by_clock,
)
from wildgate_server.media.video import VideoPacket

__all__ = ["samples_of", "without_empty_ends"]

_MILLISECOND = Fraction(1, 1000)
# Containers that say when frames are decoded; for others FFmpeg works it out of when they are shown.
_SAY_WHEN_TO_DECODE = frozenset({"mov", "mpegts", "mpeg", "flv", "avi"})
# Codecs whose frames may be shown in another order than they are decoded in.
_REORDERING = frozenset({"h264", "hevc", "vvc", "evc", "mpeg1video", "mpeg2video", "mpeg4", "vc1", "wmv3"}) | frozenset(
    {"rv30", "rv40", "cavs", "avs2", "avs3", "dirac", "svq1", "svq3"}
)


def samples_of(packets: Iterable[VideoPacket], stream: VideoStream, is_fragmented: Callable[[], bool]) -> list[Sample]:
    """The samples that packets, in decode order, are; a packet without a time has that of the one before.

    Without a clock, frames are shown at the stream's frame rate, in an order that only bytes tell: packets that are
    described, but not read, come as an iterator. Raises UnfitIndex where these have no clock, CorruptVideo for none.
    """
    shown: list[int] = []
    decoded: list[int] = []
    facts: list[tuple[bool, bool, int]] = []
    pts = dts = 0
    has_clock = False
    for packet in packets:
        if (stamp := packet.pts if packet.pts is not None else packet.dts) is not None:
            pts, has_clock = stamp, True
        if (stamp := packet.dts if packet.dts is not None else packet.pts) is not None:
            dts = stamp
        shown.append(pts)
        decoded.append(dts)
        facts.append((packet.is_keyframe, not packet.is_discard, packet.size))
    if not facts:
        raise CorruptVideo("the video stream holds no frames", field="source")
    keyframes, displayed, sizes = zip(*facts, strict=True)
    # FFmpeg would leave out fragments whose clock falls back, as it does what edit lists cut away, which these lack.
    if not all(displayed) and is_fragmented():
        displayed = (True,) * len(facts)
    clock = Clock(
        tick_s=stream.time_base or _MILLISECOND,
        shown=shown,
        decoded=decoded if stream.container.format.name.split(",")[0] in _SAY_WHEN_TO_DECODE else None,
        keyframes=keyframes,
        displayed=displayed,
        reorder=MOST_REORDERED if stream.codec_context.codec.canonical_name in _REORDERING else 0,
    )
    rate = _frame_rate(stream)
    stopped = has_stopped(clock, rate) or (len(facts) >= rate and _indexed_at_one_time(stream))  # a second or more
    if len(facts) == 1 or (has_clock and not stopped):
        times = times_by_clock(clock, rate)
    elif isinstance(packets, Sequence):
        times = times_at_rate(presentation_order(packets, stream), rate)
    else:
        raise UnfitIndex("the frames have no times")
    return list(map(Sample, times, keyframes, displayed, sizes))


def without_empty_ends(
    samples: Sequence[Sample], context: VideoCodecContext, packet_at: Callable[[int], bytes | memoryview | None]
) -> Sequence[Sample]:
    """The samples, those before the first and after the last picture not displayed; no decoder shows anything of them.

    `packet_at` gives the packet at a place, None where it is not at hand. Packets without a picture in between are
    gaps of a video, as damaged ones are.
    """
    if (syntax := NAL_SYNTAX.get(context.codec.canonical_name)) is None:
        return samples

    def is_empty(place: int) -> bool:
        packet = packet_at(place)
        return packet is not None and not syntax.holds_picture(packet, context.extradata or b"")

    def time_of(place: int) -> float:
        return samples[place].time_s

    nearest = MOST_REORDERED + 1
    first = min(range(len(samples))[:nearest], key=time_of)
    last = max(range(len(samples))[-nearest:], key=time_of)
    if not is_empty(first) and not is_empty(last):
        return samples
    order = sorted((place for place, sample in enumerate(samples) if sample.displayed), key=time_of)
    empty = {*takewhile(is_empty, order), *takewhile(is_empty, reversed(order))}
    return [sample._replace(displayed=False) if at in empty else sample for at, sample in enumerate(samples)]


def _indexed_at_one_time(stream: VideoStream) -> bool:
    """Whether the index of ISO media has all frames at one time, whatever FFmpeg's parsers make of that."""
    entries = [*stream.index_entries] if stream.container.format.name.startswith("mov") else []
    return len(entries) > 1 and entries[0].timestamp == entries[-1].timestamp  # which ascend


def _frame_rate(stream: VideoStream) -> Fraction:
    """Frames per second, as container and codec say, if they say what can be."""
    for rate in (stream.guessed_rate, stream.average_rate):
        if rate is not None and 1 <= rate <= FASTEST_RATE:
            return rate
    return DEFAULT_FRAME_RATE
