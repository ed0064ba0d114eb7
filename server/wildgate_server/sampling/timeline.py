"""A video's frames in the order in which they are shown, and the cheapest of them that leave no gap."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import compress, count, pairwise
from typing import Any, NamedTuple

from wildgate_server.media.sample import Sample
from wildgate_server.sampling.sampling_config import SamplingConfig

__all__ = ["ROUNDING_S", "Pick", "Timeline", "gaps_s", "longest_gap_s"]

ROUNDING_S = 1e-6
"""Presentation times are rationals rounded to floats."""


class Pick(NamedTuple):
    """A frame to look at: when it is shown, and the run of samples (decode order, inclusive) that yields it.

    It is shown for `shown_s` seconds, until the next frame; the last one, it is taken, as long as the one before.
    """

    time_s: float
    keyframe: int
    sample: int
    shown_s: float = 0.0


def longest_gap_s(first_s: float, looked_at_s: Sequence[float], last_s: float) -> float:
    """The longest stretch without a looked-at frame between `first_s` and `last_s`, in seconds to the microsecond.

    `looked_at_s` is ascending and lies within; with none the whole video is the gap.
    """
    return round(max(gaps_s(first_s, looked_at_s, last_s)), 6)


def gaps_s(first_s: float, looked_at_s: Sequence[float], last_s: float) -> Iterator[float]:
    """The stretches without a looked-at frame between `first_s` and `last_s`, in seconds, in time order."""
    return (after - before for before, after in pairwise((first_s, *looked_at_s, last_s)))


class Timeline:
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
        """From the first frame to the last, in seconds."""
        return self.times[-1] - self.times[0]

    def starts(self, reach_s: float) -> range:
        """The keyframes at which a cover may begin: those within reach of the first frame."""
        return range(bisect_right(self._key_times, self.times[0] + reach_s + ROUNDING_S)) if self.times else range(0)

    def near(self, start_s: float, end_s: float) -> range:
        """The places of the frames that are shown from `start_s` to `end_s`, both included."""
        return range(bisect_left(self.times, start_s - ROUNDING_S), bisect_right(self.times, end_s + ROUNDING_S))

    def place_of(self, sample: int) -> int | None:
        """The place at which a sample is shown, if it is."""
        at = bisect_left(self.times, self._times[sample])
        while at < len(self._order) and self.times[at] == self._times[sample]:
            if self._order[at] == sample:
                return at
            at += 1
        return None

    def gaps_s(self, picks: Sequence[Pick]) -> list[float]:
        """The stretches without a looked-at frame that picks leave, the longest first."""
        return sorted(gaps_s(self.times[0], [pick.time_s for pick in picks], self.times[-1]), reverse=True)

    def cover(
        self, max_gap_s: float, config: SamplingConfig, between_s: float = 0.0, start: int | None = None
    ) -> list[Pick]:
        """The cheapest picks that leave no gap above `max_gap_s` where there are frames to close it.

        Keyframes are to close all that they can; what other frames close may be as long as `between_s`. It
        begins at the keyframe that `start` counts, by default the first.
        """
        reach = max_gap_s + ROUNDING_S
        far = max(max_gap_s, between_s) + ROUNDING_S
        chosen = [self._start(far) if start is None else self._key_places[start]]
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
        return [self.pick(place) for place in chosen]

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

    def pick(self, place: int) -> Pick:
        """The frame at a place of `times`, with the run that yields it."""
        sample = self._order[place]
        at = bisect_right(self._keyframes, sample) - 1
        is_leading = self.times[place] < self._times[self._keyframes[at]]
        last = max(min(place, len(self.times) - 2), 0)
        shown_s = self.times[min(last + 1, len(self.times) - 1)] - self.times[last]
        return Pick(self.times[place], self._keyframes[at - 1 if is_leading else at], sample, shown_s)
