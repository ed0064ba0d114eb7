"""Which frames of a video to look at: the choice alone, without touching a byte of it.

A video is a list of `Sample`s, one per packet, in decode order. Keyframes are cheap: one packet each. Any other frame
costs all packets from its keyframe up to its own, so the plan takes keyframes where they are dense enough and, where
they are not, the frames that close the gap with the fewest packets.

A window is decoded by itself. Where several want frames of one group of pictures, each decodes it from its keyframe
on, so that a group with one wanted frame in every n costs about (its frames)² / 2nF: `plan_windows` splits where
that is least, and `plan_sampling` bounds it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, compress, count, pairwise
from typing import Any, NamedTuple

from wildgate_server.media.sample import Sample

__all__ = ["Pick", "SamplingConfig", "SamplingPlan", "longest_gap_s", "plan_sampling", "plan_windows"]

_ROUNDING_S = 1e-6  # presentation times are rationals rounded to floats
_WIDER = 1.03  # by how much a gap grows when it leaves too many frames to look at
_SPARSER = 1.2  # and when these cost too much, which takes longer to tell


class Pick(NamedTuple):
    """A frame to look at: when it is shown, and the run of samples (decode order, inclusive) that yields it."""

    time_s: float
    keyframe: int
    sample: int


@dataclass(frozen=True, slots=True)
class SamplingConfig:
    """How densely to look, and how much at most.

    `max_gap_s` is the longest stretch, in seconds, to leave without a looked-at frame; `frames_per_window` is the
    places F of one clip window. What a video may cost: `max_frames` looked at, and for these `max_decoded_frames`
    decoded and `max_clip_bytes` sent on, counted over all windows. `read_coding` is whether to find out how the clips
    are coded, which only a GPU's decoder needs to know.
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
    return round(max(_gaps_s(first_s, looked_at_s, last_s)), 6)


def _gaps_s(first_s: float, looked_at_s: Sequence[float], last_s: float) -> Iterator[float]:
    return (after - before for before, after in pairwise((first_s, *looked_at_s, last_s)))


@dataclass(frozen=True, slots=True)
class SamplingPlan:
    """The frames to look at, in presentation order, of a video shown from `first_s` to `last_s`.

    Frames that cannot be decoded are still part of the video: the stretch that they fill is a gap.
    """

    picks: tuple[Pick, ...]
    first_s: float
    last_s: float


def plan_sampling(samples: Sequence[Sample], config: SamplingConfig) -> SamplingPlan | None:
    """Which frames to look at; None when no sample can be shown.

    No two neighbours, and neither end of the video, are farther apart than `config.max_gap_s` unless the video has no
    frame there or a limit does not suffice. Where there are too many to look at, the gap is widened evenly; where
    they cost too much, first between keyframes alone, and what is too far from any keyframe is given up.
    """
    timeline = _Timeline(samples)
    if not timeline.times:
        return None
    gap_s = config.max_gap_s
    picks = timeline.cover(gap_s, config)
    if len(picks) > config.max_frames:
        gap_s = max(gap_s, timeline.duration_s / config.max_frames)
        picks = timeline.cover(gap_s, config)
    while len(picks) > config.max_frames:
        gap_s *= _WIDER
        picks = timeline.cover(gap_s, config)
    limit = _CostLimit(samples, config)
    if not limit.affords(picks):
        picks = _affordable(timeline, gap_s, config, limit)
    shown_s = [sample.time_s for sample in samples if sample.displayed]
    return SamplingPlan(tuple(picks), min(shown_s), max(shown_s))


def _affordable(timeline: _Timeline, gap_s: float, config: SamplingConfig, limit: _CostLimit) -> list[Pick]:
    """Of the picks that keyframes `gap_s` apart allow, those that leave the shortest gaps for what they may cost."""
    best = timeline.cover(gap_s, config, timeline.duration_s)
    while len(best) > 1 and not limit.affords(best):
        gap_s *= _WIDER
        best = timeline.cover(gap_s, config, timeline.duration_s)
    between_s = gap_s
    while between_s < timeline.duration_s:
        wanted = timeline.cover(gap_s, config, between_s)
        picks = limit.nearest(wanted)
        if picks and timeline.gaps_s(picks) < timeline.gaps_s(best):
            best = picks
        if len(picks) == len(wanted):
            break
        between_s *= _SPARSER
    return best


def plan_windows(picks: Sequence[Pick], config: SamplingConfig) -> list[list[Pick]]:
    """Splits picks, in order, into as few windows of at most F as there can be, where that costs the least decoding."""
    size = config.frames_per_window
    windows = -(-len(picks) // size)
    places_left = windows * size - len(picks)
    if not places_left or windows == 1 or all(pick.sample == pick.keyframe for pick in picks):
        return [list(picks[start : start + size]) for start in range(0, len(picks), size)]
    # By how many picks the windows so far hold: what these cost, and where each of them ends.
    best: dict[int, tuple[int, tuple[int, ...]]] = {0: (0, ())}
    for full in range(size, (windows + 1) * size, size):
        reached: dict[int, tuple[int, tuple[int, ...]]] = {}
        for end in range(max(full - places_left, 1), min(full, len(picks)) + 1):
            costs = _decoded_back_from(picks, end, size)
            reached[end] = min(
                (best[start][0] + cost, (*best[start][1], end))
                for start, cost in zip(range(end - 1, -1, -1), costs, strict=False)
                if start in best
            )
        best = reached
    return [list(picks[start:end]) for start, end in pairwise((0, *best[len(picks)][1]))]


def _decoded_back_from(picks: Sequence[Pick], end: int, size: int) -> list[int]:
    """What a window costs, in frames decoded, that ends before pick `end` and holds 1, 2, ... `size` picks."""
    costs: list[int] = []
    decoded_to: dict[int, int] = {}  # by keyframe
    cost = 0
    for pick in reversed(picks[max(end - size, 0) : end]):
        already = decoded_to.get(pick.keyframe, pick.keyframe)
        if pick.sample >= already:
            cost += pick.sample + 1 - already
            decoded_to[pick.keyframe] = pick.sample + 1
        costs.append(cost)
    return costs


class _CostLimit:
    """What a video may cost, and what picks do."""

    def __init__(self, samples: Sequence[Sample], config: SamplingConfig) -> None:
        self._samples = samples
        self._config = config

    def affords(self, picks: Sequence[Pick]) -> bool:
        """Whether decoding and sending on all windows of these picks is within bounds."""
        frames = size = 0
        for window in plan_windows(picks, self._config):
            ends: dict[int, int] = {}  # from a keyframe to the last frame that the window wants of it
            for pick in window:
                ends[pick.keyframe] = max(pick.sample, ends.get(pick.keyframe, 0))
            frames += sum(end + 1 - start for start, end in ends.items())
            size += sum(self._bytes(start, end) for start, end in ends.items())
        return frames <= self._config.max_decoded_frames and size <= self._config.max_clip_bytes

    def nearest(self, picks: Sequence[Pick]) -> list[Pick]:
        """The picks that are as near to their keyframes as it takes to afford them; none if that does not do."""
        distances = sorted({pick.sample - pick.keyframe for pick in picks})

        def within(farthest: int) -> list[Pick]:
            return [pick for pick in picks if pick.sample - pick.keyframe <= distances[farthest]]

        too_far = bisect_left(range(len(distances)), True, key=lambda farthest: not self.affords(within(farthest)))
        return within(too_far - 1) if too_far else []

    def _bytes(self, start: int, end: int) -> int:
        if start == end:
            return self._samples[start].size_bytes
        return self._bytes_before[end + 1] - self._bytes_before[start]

    @cached_property
    def _bytes_before(self) -> list[int]:
        return [0, *accumulate(sample.size_bytes for sample in self._samples)]


class _Timeline:
    """The samples in presentation order; `times` are those of the frames that can be shown.

    A leading picture of an open GOP (shown before its keyframe, coded after it) refers to the GOP before as well, so
    its run starts at the keyframe before its own. What no keyframe precedes does not decode and counts as not shown.
    Without any keyframe flag, decoding starts at the first packet.
    """

    def __init__(self, samples: Sequence[Sample]) -> None:
        columns: Sequence[tuple[Any, ...]] = list(zip(*samples, strict=True)) or [()] * 4
        times, is_keyframe, displayed, _ = columns
        self._times: tuple[float, ...] = times
        self._keyframes = list(compress(count(), is_keyframe)) or [0]
        first, second = (*self._keyframes, len(samples))[:2]
        orphans = {at for at in range(first, second) if times[at] < times[first]}
        shown = [at for at in range(first, len(samples)) if displayed[at] and at not in orphans]
        shown.sort(key=times.__getitem__)  # which keeps frames of one moment in decode order
        self._order = shown
        self.times: list[float] = [times[at] for at in shown]
        self._key_places = [place for place, at in enumerate(shown) if is_keyframe[at] or at == self._keyframes[0]]
        self._key_times = [self.times[place] for place in self._key_places]

    @property
    def duration_s(self) -> float:
        return self.times[-1] - self.times[0]

    def gaps_s(self, picks: Sequence[Pick]) -> list[float]:
        """The stretches without a looked-at frame that picks leave, the longest first."""
        return sorted(_gaps_s(self.times[0], [pick.time_s for pick in picks], self.times[-1]), reverse=True)

    def cover(self, max_gap_s: float, config: SamplingConfig, between_s: float = 0.0) -> list[Pick]:
        """The cheapest picks that leave no gap above `max_gap_s` where there are frames to close it.

        Keyframes are to close all that they can; what other frames close may be as long as `between_s`.
        """
        reach = max_gap_s + _ROUNDING_S
        far = max(max_gap_s, between_s) + _ROUNDING_S
        chosen = [self._start(far)]
        while (here := chosen[-1]) < len(self.times) - 1:
            anchor = self._next_keyframe(here, reach)
            goal_s = self.times[-1] if anchor is None else self.times[anchor]
            chosen += self._fill(here, goal_s, far)
            if anchor is None:
                if goal_s - self.times[chosen[-1]] > far:  # the last frame lies behind a hole
                    chosen.append(len(self.times) - 1)
                break
            chosen.append(anchor)
        self._leave_out_spare(chosen, reach, config.frames_per_window)
        return [self._pick(place) for place in chosen]

    def _start(self, reach: float) -> int:
        """The first keyframe, or the first frame where no keyframe is near the start."""
        if self._key_places and self._key_times[0] - self.times[0] <= reach:
            return self._key_places[0]
        return 0

    def _next_keyframe(self, here: int, reach: float) -> int | None:
        """The farthest keyframe within reach, else the next one, else none; none also when the end is within reach."""
        if self.times[-1] - self.times[here] <= reach:
            return None
        near = bisect_right(self._key_times, self.times[here] + reach) - 1
        if near >= 0 and self._key_places[near] > here:
            return self._key_places[near]
        following = bisect_right(self._key_places, here)
        return self._key_places[following] if following < len(self._key_places) else None

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

    def _leave_out_spare(self, chosen: list[int], reach: float, places: int) -> None:
        """Leaves out frames whose neighbours do without them, where that saves a window: one costs the same half empty.

        With a keyframe every two seconds, say, a video of 17 s has nine, and the first of them is spare.
        """
        too_many = len(chosen) % places
        if len(chosen) <= places or not too_many:
            return
        spare: list[int] = []
        before_s = self.times[0]
        for at, place in enumerate(chosen):
            after_s = self.times[chosen[at + 1] if at + 1 < len(chosen) else -1]
            if after_s - before_s <= reach and len(spare) < too_many:
                spare.append(place)
            else:
                before_s = self.times[place]
        if len(spare) == too_many:
            chosen[:] = [place for place in chosen if place not in spare]

    def _pick(self, place: int) -> Pick:
        sample = self._order[place]
        at = bisect_right(self._keyframes, sample) - 1
        is_leading = self.times[place] < self._times[self._keyframes[at]]
        return Pick(self.times[place], self._keyframes[at - 1 if is_leading else at], sample)
