"""What to look at of each video track, within what one video may cost.

One track may cost all of it. Several have an even share each, and what one does not need is there for the others: so
the cheapest comes first, and the dearest takes what is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain, groupby
from typing import NamedTuple

from wildgate_server.errors import VideoTooLarge
from wildgate_server.media.sample import Sample
from wildgate_server.sampling.cost import sharing_clips
from wildgate_server.sampling.look import PLAIN_LOOK, Look
from wildgate_server.sampling.plan import Pick, SamplingConfig, TrackKind, plan_sampling, plan_windows

__all__ = ["TrackPlan", "needed", "plan_tracks"]


class _Cost(NamedTuple):
    """Frames looked at, frames decoded and bytes sent on, as `SamplingConfig` bounds them."""

    frames: int
    decoded: int
    size: int

    def share_of(self, bound: _Cost) -> float:
        """The largest share that any of the three has of its bound."""
        return max(part / whole for part, whole in zip(self, bound, strict=True))


@dataclass(frozen=True, slots=True)
class TrackPlan:
    """The frames to look at of one track, shown from `first_s` to `last_s`, in windows, and the samples these need.

    Windows that share a clip need the same: those of all of them.
    """

    windows: Sequence[Sequence[Pick]]
    needs: Sequence[Sequence[int]]
    first_s: float
    last_s: float

    def needed(self) -> list[int]:
        """The samples that all windows need, in decode order."""
        return sorted({place for places in self.needs for place in places})

    def cost(self, samples: Sequence[Sample]) -> _Cost:
        """What all windows cost, as windows of these samples."""
        sizes = [sum(samples[place].size_bytes for place in places) for places in self.needs]
        decoded = sum(len(places) for places, _ in groupby(self.needs))  # neighbours that share a clip: once
        return _Cost(sum(map(len, self.windows)), decoded, sum(sizes))


def plan_tracks(
    tracks: Sequence[Sequence[Sample]],
    config: SamplingConfig,
    look: Look = PLAIN_LOOK,
    kinds: Sequence[TrackKind] = (),
) -> list[TrackPlan | None]:
    """What to look at of each track, given by its samples; None for one of which nothing can be shown, or is asked for.

    Without `kinds`, `look` knows the tracks by their order.

    Raises VideoTooLarge when there are more tracks than frames that may be looked at.
    """
    config = config.under(look)
    kinds = kinds or [TrackKind(number) for number in range(len(tracks))]
    plans = [_plan(*track, config, look) for track in zip(tracks, kinds, strict=True)]
    found = {number: plan for number, plan in enumerate(plans) if plan is not None}
    if len(found) < 2:
        return plans
    if len(found) > config.max_frames:
        raise VideoTooLarge.past("max_frames", config.max_frames, len(found))
    left = _Cost(config.max_frames, config.max_decoded_frames, config.max_clip_bytes)
    costs = {number: plan.cost(tracks[number]) for number, plan in found.items()}
    if _Cost(*map(sum, zip(*costs.values(), strict=True))).share_of(left) <= 1:
        return plans
    cheapest_first = sorted(found, key=lambda number: (costs[number].share_of(left), costs[number]))
    for place, number in enumerate(cheapest_first):
        frames, decoded, size = (max(1, part // (len(found) - place)) for part in left)
        share = replace(config, max_frames=frames, max_decoded_frames=decoded, max_clip_bytes=size)
        plans[number] = plan = _plan(tracks[number], kinds[number], share, look)
        cost = plan.cost(tracks[number]) if plan is not None else _Cost(0, 0, 0)
        left = _Cost(*(max(0, whole - part) for whole, part in zip(left, cost, strict=True)))
    return plans


def _plan(samples: Sequence[Sample], kind: TrackKind, config: SamplingConfig, look: Look) -> TrackPlan | None:
    plan = plan_sampling(samples, config, look, kind)
    if plan is None or not plan.picks:
        return None
    windows = plan_windows(plan.picks, config)
    needs: list[list[int]] = []
    for together in sharing_clips(windows):
        needs += [needed(samples, [*chain.from_iterable(together)])] * len(together)
    return TrackPlan(windows, needs, plan.first_s, plan.last_s)


def needed(samples: Sequence[Sample], window: Sequence[Pick]) -> list[int]:
    """The samples that decoding the window's picks takes, in decode order.

    A run leaves out what is shown before its keyframe: leading pictures refer to a GOP that the clip does not hold,
    and nothing after them refers to them.
    """
    places: set[int] = set()
    for pick in window:
        # A clock out of order may show the frame itself before the keyframe.
        start_s = min(samples[pick.keyframe].time_s, pick.time_s)
        run = range(pick.keyframe, pick.sample + 1)
        places.update(at for at in run if samples[at].time_s >= start_s)
    return sorted(places)
