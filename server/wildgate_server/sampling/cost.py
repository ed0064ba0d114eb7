"""What looking at frames costs, and how they are split into clip windows so that it is least."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate, chain, pairwise
from typing import Final

from wildgate_server.media.sample import Sample
from wildgate_server.media.sampled_video import SampledVideo
from wildgate_server.sampling.sampling_config import SamplingConfig
from wildgate_server.sampling.timeline import Pick

__all__ = ["LOOK_IN_PIXELS", "CostLimit", "plan_windows", "sharing_clips", "usual_videos"]

LOOK_IN_PIXELS: Final = 4_000_000
"""Pixels that are decoded in the time that detecting in one frame and its fingerprint take, about.

The shipped detector takes 16 ms on a core that decodes 0.3 megapixels of H.264 in a millisecond, which makes 5 million;
one of 10 ms makes 3. What a video costs is judged the same by either.
"""
_USUAL_PIXELS = 720 * 1280
_BYTE_IN_PIXELS = 25
"""A core decodes 5 to 16 megabytes a second of pictures full of detail (JPEG 2000, HEVC, H.264, VP9, AV1)."""
_USUAL_LOOKS, _USUAL_BYTES = 8, 20_000  # a look
_WORTH_SHARING = 128  # more than the usual group of pictures has: two seconds at 60 frames/s
_MOST_SHARING = 8  # windows that one request takes, by default; what is more is decoded again


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


def sharing_clips(windows: Sequence[list[Pick]]) -> list[list[list[Pick]]]:
    """The windows, in order, in groups of which each has one clip, which is decoded once for all of them.

    A window that continues the group of pictures of the one before would decode it from its keyframe again. It shares
    the clip where that spares `_WORTH_SHARING` frames, for then more is sent, and only the CPU decoder does it, if that
    are no more windows than go in one request.
    """
    groups: list[list[list[Pick]]] = []
    before: dict[int, int] = {}
    for window in windows:
        runs = _runs(window)
        again = sum(min(end, before[start]) - start for start, end in runs.items() if start in before)
        if again >= _WORTH_SHARING and len(groups[-1]) < _MOST_SHARING:
            groups[-1].append(window)
        else:
            groups.append([window])
        before = runs
    return groups


def _runs(picks: Sequence[Pick]) -> dict[int, int]:
    """The runs of samples that picks take: where each ends, by the keyframe where it begins."""
    runs: dict[int, int] = {}
    for pick in picks:
        runs[pick.keyframe] = max(pick.sample + 1, runs.get(pick.keyframe, 0))
    return runs


def usual_videos(video: SampledVideo) -> float:
    """What looking at a sampled video costs, about: times that of a usual one, with eight keyframes of 720x1280."""
    looks = sum(len(window.times_s) for window in video.windows)
    return _in_pixels(looks, video.pixels, video.coded_bytes) / _in_pixels(
        _USUAL_LOOKS, _USUAL_LOOKS * _USUAL_PIXELS, _USUAL_LOOKS * _USUAL_BYTES
    )


def _in_pixels(looks: int, pixels: int, size: int) -> int:
    return looks * LOOK_IN_PIXELS + pixels + size * _BYTE_IN_PIXELS


class CostLimit:
    """What a video with pictures of so many pixels (0: unknown) may cost, and what picks do."""

    def __init__(self, samples: Sequence[Sample], config: SamplingConfig, pixels: int = 0) -> None:
        self._samples = samples
        self._config = config
        self._pixels = pixels or _USUAL_PIXELS

    def affords(self, picks: Sequence[Pick]) -> bool:
        """Whether decoding and sending on all windows of these picks is within bounds."""
        frames, size = self._costs(picks)
        return frames <= self._config.max_decoded_frames and size <= self._config.max_clip_bytes

    def cost(self, picks: Sequence[Pick]) -> int:
        """What these picks take the processor, in pixels decoded; for comparisons."""
        frames, _ = self._costs(picks)
        return self.of_looks(len(picks)) + frames * self._pixels

    def of_looks(self, count: float) -> int:
        """What so many looks cost beside decoding, in pixels decoded: detection, and what it takes to scale them."""
        return round(count * (LOOK_IN_PIXELS + self._pixels))

    def least(self, looks: float) -> int:
        """What so many looks cost where each is at a keyframe."""
        return self.of_looks(looks) + round(looks * self._pixels)

    def _costs(self, picks: Sequence[Pick]) -> tuple[int, int]:
        """Frames decoded and bytes sent on."""
        frames = size = 0
        for together in sharing_clips(plan_windows(picks, self._config)):
            runs = _runs([*chain.from_iterable(together)])
            frames += sum(end - start for start, end in runs.items())
            size += len(together) * sum(self._bytes(start, end) for start, end in runs.items())
        return frames, size

    def nearest(self, picks: Sequence[Pick]) -> list[Pick]:
        """The picks that are as near to their keyframes as it takes to afford them; none if that does not do."""
        distances = sorted({pick.sample - pick.keyframe for pick in picks})

        def within(farthest: int) -> list[Pick]:
            return [pick for pick in picks if pick.sample - pick.keyframe <= distances[farthest]]

        too_far = bisect_left(range(len(distances)), True, key=lambda farthest: not self.affords(within(farthest)))
        return within(too_far - 1) if too_far else []

    def _bytes(self, start: int, end: int) -> int:
        if end - start == 1:
            return self._samples[start].size_bytes
        return self._bytes_before[end] - self._bytes_before[start]

    @cached_property
    def _bytes_before(self) -> list[int]:
        return [0, *accumulate(sample.size_bytes for sample in self._samples)]
