"""When coded frames are shown: a timeline that goes on where the container's clock goes back, stops or is missing.

A player shows a file's pictures in the order they are coded in, but for the few that reordering holds back. So a clock
that falls back (joined recordings, a restarted encoder) does not take the video back with it, and what comes after is
shown after what came before.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby, pairwise
from operator import le, sub

__all__ = ["DEFAULT_FRAME_RATE", "FASTEST_RATE", "Clock", "has_stopped", "times_at_rate", "times_by_clock"]

DEFAULT_FRAME_RATE = Fraction(25)
"""Frames per second of a video that has neither a clock nor a rate; it is FFmpeg's default for raw streams."""

FASTEST_RATE = 240
"""Frames per second that can be shown one after the other."""

# As FFmpeg's command line tool tells a clock's faults from a video's own gaps (ffmpeg_demux.c, ts_discontinuity_detect,
# and its default of dts_delta_threshold).
_SLACK_S = Fraction(1, 10)
_ABSURD_LEAP_S = 10

_MOMENT_S = 1e-3
_ROUNDING_S = 1e-6  # presentation times are rationals rounded to floats
_SHORT_S = 1.0


@dataclass(frozen=True, slots=True)
class Clock:
    """What a container says of when frames are decoded and shown, in decode order; stamps are in ticks.

    `shown` are presentation times, all known. `decoded` are decoding times, or None where the container has none that
    can be relied on. `reorder` is the largest number of frames by which one may be shown after its turn to be decoded;
    keyframes are shown after all that were decoded before them.
    """

    tick_s: Fraction
    shown: Sequence[int]
    decoded: Sequence[int] | None
    keyframes: Sequence[bool]
    displayed: Sequence[bool]
    reorder: int

    def seconds(self, shifts: Sequence[int] | None = None) -> list[float]:
        """The presentation times, later by so many ticks; rounded once: 2.9, not 2.9000000000000004."""
        numerator, denominator = self.tick_s.numerator, self.tick_s.denominator
        if shifts is None:
            return [stamp * numerator / denominator for stamp in self.shown]
        return [(stamp + by) * numerator / denominator for stamp, by in zip(self.shown, shifts, strict=True)]


def has_stopped(clock: Clock, rate: Fraction) -> bool:
    """Whether the clock tells nothing: all frames have the same time, though they last a second or more at `rate`."""
    stamps = clock.shown if clock.decoded is None else clock.decoded
    return min(stamps) == max(stamps) and len(stamps) / rate >= _SHORT_S


def times_at_rate(order: Sequence[int], rate: Fraction) -> list[float]:
    """Presentation times, in seconds, of frames without a clock; `order` has each one's place in presentation order."""
    return [place / rate.numerator * rate.denominator for place in order]


def times_by_clock(clock: Clock, rate: Fraction) -> list[float]:
    """Presentation times in seconds, in decode order: the container's, but for the clock's faults.

    Where the clock falls back, or leaps ahead by more than ten seconds and falls back again, the video goes on a frame
    later. Where more frames share a moment, or follow each other within less than one, than can be shown in that time,
    they are shown at `rate`, frames per second.
    """
    breaks = _breaks(clock)
    times = clock.seconds(_shifts(clock, breaks, rate) if breaks else None)
    ascending = sorted(times)
    if len(times) > 1 and min(map(sub, ascending[1:], ascending)) < _MOMENT_S:
        return _spread(times, clock.displayed, float(1 / rate))
    return times


def _breaks(clock: Clock) -> list[int]:
    """The places, ascending, where the clock starts anew: samples from there on have nothing to do with those before.

    Frames that are not displayed belong to those that come after: edit lists begin with them.
    """
    stamps, reorder = (clock.shown, clock.reorder) if clock.decoded is None else (clock.decoded, 0)
    if all(map(le, stamps, stamps[1:])):
        return []
    slack, absurd = int(_SLACK_S / clock.tick_s), int(_ABSURD_LEAP_S / clock.tick_s)
    breaks: list[int] = []
    highest: list[int] = []  # the largest stamps of this part, a heap: no more frames can be held back
    start = end = 0  # of what has been read of this part
    for at, stamp in enumerate(stamps):
        if not clock.displayed[at]:
            continue
        is_last_so_far = clock.decoded is None and clock.keyframes[at]
        bound = max(highest) if highest and is_last_so_far else highest[0] if len(highest) > reorder else stamp
        if stamp < bound - slack:
            leap = _leap(stamps, clock.displayed, range(start, end), stamp, absurd)
            breaks += [end] if leap is None else [leap, end]
            start, highest = end, []
        if len(highest) <= reorder:
            heapq.heappush(highest, stamp)
        else:
            heapq.heappushpop(highest, stamp)
        end = at + 1
    return breaks


def _leap(stamps: Sequence[int], displayed: Sequence[bool], part: range, falls_to: int, absurd: int) -> int | None:
    """Where, in a part, the clock leapt ahead for a while, now to fall back to where it was; None if it did not."""
    shown = [at for at in part if displayed[at]]
    for before, at in pairwise(shown):
        if stamps[at] > falls_to:
            return at if stamps[before] <= falls_to and stamps[at] - stamps[before] > absurd else None
    return None


def _shifts(clock: Clock, breaks: Sequence[int], rate: Fraction) -> list[int]:
    """By how many ticks each frame is to be shown later, so that each part begins a frame after the one before it."""
    frame = max(round(1 / (rate * clock.tick_s)), 1)
    shifts: list[int] = []
    end: int | None = None
    for start, stop in pairwise((0, *breaks, len(clock.shown))):
        part = range(start, stop)
        shown = [clock.shown[at] for at in part if clock.displayed[at]] or [clock.shown[at] for at in part]
        by = 0 if end is None else end + frame - min(shown)
        end = max(shown) + by
        shifts += [by] * len(part)
    return shifts


def _spread(times: Sequence[float], displayed: Sequence[bool], frame_s: float) -> list[float]:
    """The times, where too many of the displayed frames share a moment for all of them to be seen drawn apart.

    Unless all that comes to less than a second.
    """
    order = sorted((at for at in range(len(times)) if displayed[at]), key=times.__getitem__)
    moments = [moment for run in _runs(order, times) for moment in _moments(run, times)]
    starts = [times[moment[0]] for moment in moments]
    lasts = list(map(sub, starts[1:], starts))
    lasts += lasts[-1:] or [0.0] * len(starts)  # the last moment is as long as the one before
    spread = list(times)
    later = 0.0
    for moment, start, last_s in zip(moments, starts, lasts, strict=True):
        is_crowded = len(moment) > 2 + FASTEST_RATE * last_s
        for count, at in enumerate(moment):
            spread[at] = later + (start + count * frame_s if is_crowded else times[at])
        later += max(len(moment) * frame_s - last_s, 0.0) if is_crowded else 0.0
    return spread if later >= _SHORT_S else list(times)


def _runs(order: Sequence[int], times: Sequence[float]) -> list[list[int]]:
    """Frames, given in time order, parted where one comes a moment or more after the one before it."""
    runs: list[list[int]] = []
    for at in order:
        if not runs or times[at] - times[runs[-1][-1]] > _MOMENT_S - _ROUNDING_S:
            runs.append([])
        runs[-1].append(at)
    return runs


def _moments(run: list[int], times: Sequence[float]) -> list[list[int]]:
    """The moments of a run: itself, but for one that goes on for a second, as that of a camera of high speed does."""
    if times[run[-1]] - times[run[0]] < _SHORT_S:
        return [run]
    return [list(moment) for _, moment in groupby(run, key=lambda at: times[at] // _MOMENT_S)]
