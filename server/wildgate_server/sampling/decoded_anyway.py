"""More frames of the runs that a plan has decoded in any case: looking at them costs their detection alone."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from wildgate_server.sampling.timeline import ROUNDING_S, Pick, Timeline

__all__ = ["beside", "inside"]

_SHORT_S = 1.0  # a step that is less
_SPARSER = 1.2  # by how much they are farther apart where these are too many


def inside(picks: Sequence[Pick], timeline: Timeline, step_s: float, most: int) -> list[Pick]:
    """Frames of the runs that are decoded anyway, so many that none of a run is farther than a step from the next.

    If these are more than `most`, the step is longer. Where steps are short and most runs end an even number of frames
    behind their keyframes, these frames are an odd one behind, and the other way round: if every second frame shows
    something else, both are looked at.
    """
    found: list[Pick] = []
    ends = [(timeline.place_of(pick.keyframe), timeline.place_of(pick.sample)) for pick in picks]
    lengths = [end - start for start, end in ends if start is not None and end is not None and end > start]
    usual = 2 * sum(length % 2 for length in lengths) > len(lengths)
    for before, pick, (start, _) in zip([None, *picks], picks, ends, strict=False):
        if start is None or pick.sample == pick.keyframe:
            continue
        start_s = timeline.times[start]
        if pick.time_s - start_s < step_s / 2:
            continue
        follows = before is not None and before.time_s > start_s - step_s / 2
        if before is not None and follows:
            start_s = before.time_s
        parts = ceil((pick.time_s - start_s - ROUNDING_S) / step_s)
        for part in range(follows, parts):
            place = timeline.near(start_s + part * (pick.time_s - start_s) / parts, pick.time_s).start
            is_usual = (place - start) % 2 == usual and part > 0 and step_s < _SHORT_S
            each = timeline.pick(max(place - is_usual, start))
            if each.keyframe == pick.keyframe and each.sample < pick.sample:
                found.append(each)
    if len(found) <= most or step_s > timeline.duration_s:
        return found[:most]
    return inside(picks, timeline, step_s * _SPARSER, most)


def beside(picks: Sequence[Pick], timeline: Timeline, most: int) -> list[Pick]:
    """Frames before looks within runs, for what flashes, `most` of them: before every second look, and the last.

    None is needed where another look in the run is an odd number of frames away, nor right after a keyframe, in whose
    place the frame is looked at.
    """
    places: dict[int, list[int]] = {}
    for pick in picks:
        if pick.sample > pick.keyframe + 1 and (place := timeline.place_of(pick.sample)):
            places.setdefault(pick.keyframe, []).append(place)
    alike = [run for run in places.values() if len({place % 2 for place in run}) == 1]
    return [timeline.pick(place - 1) for run in alike for place in run[::-2]][:most]
