"""Which frames of a video to look at: the choice alone, without touching a byte of it.

A video is a list of `Sample`s, one per packet, in decode order. Keyframes are cheap: one packet each. Any other frame
costs all packets from its keyframe up to its own, so the plan takes keyframes where they are dense enough and, where
they are not, the frames that close the gap with the fewest packets.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise, starmap

__all__ = ["Pick", "Sample", "SamplingConfig", "SamplingPlan", "longest_gap_s", "plan_sampling", "plan_windows"]

_ROUNDING_S = 1e-6  # presentation times are rationals rounded to floats


@dataclass(frozen=True, slots=True)
class Sample:
    """One coded frame of the video stream; its place in the list of samples is its place in decode order.

    `time_s` is its presentation time in seconds; `displayed` is false where an edit list cuts the frame away (it may
    still be needed to decode others).
    """

    time_s: float
    is_keyframe: bool
    displayed: bool = True
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Pick:
    """A frame to look at: when it is shown, and the run of samples (decode order, inclusive) that yields it."""

    time_s: float
    keyframe: int
    sample: int


@dataclass(frozen=True, slots=True)
class SamplingConfig:
    """How densely to look, and how much at most.

    `max_gap_s` is the longest stretch, in seconds, to leave unlooked; `frames_per_window` the places F of one clip
    window. What a video may cost: `max_frames` looked at, and for these `max_decoded_frames` decoded and
    `max_clip_bytes` sent on, counted over all windows. `read_coding` is whether to find out how the clips are coded;
    a GPU's decoder needs it, for the rest it is time for nothing.
    """

    frames_per_window: int
    max_gap_s: float = 2.0
    max_frames: int = 64
    max_decoded_frames: int = 2000
    max_clip_bytes: int = 64 << 20
    read_coding: bool = True


def longest_gap_s(first_s: float, looked_at_s: Sequence[float], last_s: float) -> float:
    """The longest stretch without a looked-at frame between `first_s` and `last_s`, in seconds to the microsecond.

    `looked_at_s` is ascending and lies within; with none the whole video is the gap.
    """
    edges = [first_s, *looked_at_s, last_s]
    return round(max(after - before for before, after in pairwise(edges)), 6)


@dataclass(frozen=True, slots=True)
class SamplingPlan:
    """The frames to look at, in presentation order, of a video shown from `first_s` to `last_s`."""

    picks: tuple[Pick, ...]
    first_s: float
    last_s: float


def plan_sampling(samples: Sequence[Sample], config: SamplingConfig) -> SamplingPlan | None:
    """Which frames to look at; None when no sample can be shown.

    No two neighbours, and neither end of the video, are farther apart than `config.max_gap_s` unless the video has no
    frame there or a budget does not suffice. Where there are too many to look at, the gap is widened evenly; where
    they cost too much, those farthest from their keyframes are given up.
    """
    timeline = _Timeline(samples)
    if not timeline.times:
        return None
    gap = config.max_gap_s
    picks = timeline.cover(gap)
    if len(picks) > config.max_frames:
        gap = max(gap, timeline.duration_s / config.max_frames)
        picks = timeline.cover(gap)
    while len(picks) > config.max_frames:
        gap *= 1.1
        picks = timeline.cover(gap)
    picks = _affordable(picks, samples, config)
    return SamplingPlan(tuple(picks), timeline.times[0], timeline.times[-1])


def _affordable(picks: list[Pick], samples: Sequence[Sample], config: SamplingConfig) -> list[Pick]:
    """The picks less the most expensive ones, until the video costs no more than it may; at least one stays."""
    bytes_before = [0, *accumulate(sample.size_bytes for sample in samples)]

    def run_bytes(keyframe: int, sample: int) -> int:
        return bytes_before[sample + 1] - bytes_before[keyframe]

    while len(picks) > 1:
        runs: list[tuple[int, int]] = []  # from a keyframe to the last frame that a window wants of it
        for window in plan_windows(picks, config):
            ends: dict[int, int] = {}
            for pick in window:
                ends[pick.keyframe] = max(pick.sample, ends.get(pick.keyframe, 0))
            runs += ends.items()
        decoded = sum(end + 1 - start for start, end in runs)
        if decoded <= config.max_decoded_frames and sum(starmap(run_bytes, runs)) <= config.max_clip_bytes:
            break
        picks.remove(max(picks, key=lambda pick: (pick.sample - pick.keyframe, run_bytes(pick.keyframe, pick.sample))))
    return picks


def plan_windows(picks: Sequence[Pick], config: SamplingConfig) -> list[list[Pick]]:
    """Splits picks, in order, into windows of at most F."""
    size = config.frames_per_window
    return [list(picks[start : start + size]) for start in range(0, len(picks), size)]


class _Timeline:
    """The samples in presentation order, with what each would cost.

    A leading picture of an open GOP (shown before its keyframe, coded after it) refers to the GOP before as well, so
    its run starts at the keyframe before its own. What no keyframe precedes does not decode and counts as not shown.
    """

    def __init__(self, samples: Sequence[Sample]) -> None:
        keyframe: int | None = None if any(s.is_keyframe for s in samples) else 0
        before: int | None = None
        picks: list[Pick] = []
        for at, sample in enumerate(samples):
            if sample.is_keyframe:
                before, keyframe = keyframe, at
            if keyframe is None or not sample.displayed:
                continue
            start = keyframe if sample.time_s >= samples[keyframe].time_s else before
            if start is not None:
                picks.append(Pick(sample.time_s, start, at))
        picks.sort(key=lambda pick: pick.time_s)
        self._picks = picks
        self.times = [pick.time_s for pick in picks]
        self._keyframes = [at for at, pick in enumerate(picks) if pick.sample == pick.keyframe]
        self._keyframe_times = [picks[at].time_s for at in self._keyframes]

    @property
    def duration_s(self) -> float:
        return self.times[-1] - self.times[0]

    def cover(self, max_gap_s: float) -> list[Pick]:
        """The cheapest picks that leave no gap above `max_gap_s` where there are frames to close it."""
        reach = max_gap_s + _ROUNDING_S
        chosen = [self._start(reach)]
        while (here := chosen[-1]) < len(self.times) - 1:
            anchor = self._next_keyframe(here, reach)
            goal_s = self.times[-1] if anchor is None else self.times[anchor]
            chosen += self._fill(here, goal_s, reach)
            if anchor is None:
                if goal_s - self.times[chosen[-1]] > reach:  # the last frame lies behind a hole
                    chosen.append(len(self.times) - 1)
                break
            chosen.append(anchor)
        return [self._picks[at] for at in chosen]

    def _start(self, reach: float) -> int:
        """The first keyframe, or the first frame where no keyframe is near the start."""
        if self._keyframes and self._keyframe_times[0] - self.times[0] <= reach:
            return self._keyframes[0]
        return 0

    def _next_keyframe(self, here: int, reach: float) -> int | None:
        """The farthest keyframe within reach, else the next one, else none; none also when the end is within reach."""
        if self.times[-1] - self.times[here] <= reach:
            return None
        near = bisect_right(self._keyframe_times, self.times[here] + reach) - 1
        if near >= 0 and self._keyframes[near] > here:
            return self._keyframes[near]
        following = bisect_right(self._keyframes, here)
        return self._keyframes[following] if following < len(self._keyframes) else None

    def _fill(self, here: int, goal_s: float, reach: float) -> list[int]:
        """Frames after `here` that leave no gap above `reach` up to `goal_s`, the earliest, so cheapest, that do."""
        fill: list[int] = []
        goal = bisect_left(self.times, goal_s)
        while goal_s - self.times[here] > reach:
            at = bisect_left(self.times, goal_s - reach)
            if at >= goal:  # no frame near enough: a hole in the video itself; look at its near edge
                at = goal - 1
            if at <= here:
                break
            fill.append(at)
            goal, goal_s = at, self.times[at]
        return fill[::-1]
