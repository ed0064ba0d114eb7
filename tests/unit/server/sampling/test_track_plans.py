"""Several tracks share what one video may cost."""

from __future__ import annotations

import random

import pytest

from wildgate_server.errors import VideoTooLarge
from wildgate_server.media.sample import Sample
from wildgate_server.sampling.plan import SamplingConfig
from wildgate_server.sampling.track_plans import TrackPlan, plan_tracks


def track(seconds: int, interval: int = 1, size: int = 100) -> list[Sample]:
    """A frame each second, every `interval`-th a keyframe."""
    return [Sample(float(at), at % interval == 0, True, size) for at in range(seconds)]


def looked_at(plans: list[TrackPlan | None]) -> list[int]:
    return [sum(map(len, plan.windows)) if plan else 0 for plan in plans]


def test_tracks_within_the_bounds_are_looked_at_as_if_alone() -> None:
    config = SamplingConfig(8)
    alone = [plan_tracks([track(seconds)], config)[0] for seconds in (10, 20)]
    assert plan_tracks([track(10), track(20)], config) == alone


def test_one_track_may_cost_all_of_it() -> None:
    assert looked_at(plan_tracks([track(400)], SamplingConfig(8)))[0] > 50


def test_equal_tracks_have_equal_shares() -> None:
    counts = looked_at(plan_tracks([track(400)] * 4, SamplingConfig(8)))
    assert len(set(counts)) == 1
    assert 13 <= counts[0] <= 16


def test_what_one_track_does_not_need_goes_to_the_others() -> None:
    short, first, second = looked_at(plan_tracks([track(8), track(400), track(400)], SamplingConfig(8)))
    assert short == looked_at(plan_tracks([track(8)], SamplingConfig(8)))[0]
    assert min(first, second) > 64 // 3
    assert short + first + second <= 64


def test_the_order_of_the_tracks_does_not_matter() -> None:
    tracks = [track(400), track(8), track(100, 10)]
    there, back = plan_tracks(tracks, SamplingConfig(8)), plan_tracks(tracks[::-1], SamplingConfig(8))
    assert there == back[::-1]


def test_a_track_of_which_nothing_can_be_shown_has_no_share() -> None:
    hidden = [Sample(0.0, True, False, 100)]
    assert looked_at(plan_tracks([hidden, track(400)], SamplingConfig(8))) == [
        0,
        *looked_at(plan_tracks([track(400)], SamplingConfig(8))),
    ]


def test_more_tracks_than_frames_are_too_many() -> None:
    with pytest.raises(VideoTooLarge, match="max_frames"):
        plan_tracks([track(10)] * 3, SamplingConfig(8, max_frames=2))


@pytest.mark.parametrize("seed", range(60))
def test_all_tracks_together_cost_what_one_video_may(seed: int) -> None:
    rng = random.Random(seed)
    shapes = [(rng.randint(1, 300), rng.randint(1, 60), rng.randint(1, 10_000)) for _ in range(rng.randint(2, 8))]
    config = SamplingConfig(
        8, max_frames=rng.randint(8, 64), max_decoded_frames=rng.randint(100, 2000), max_clip_bytes=1 << 20
    )
    tracks = [track(*shape) for shape in shapes]
    costs = [plan.cost(samples) for plan, samples in zip(plan_tracks(tracks, config), tracks, strict=True) if plan]
    assert len(costs) == len(shapes)
    assert all(cost.frames for cost in costs)
    assert sum(cost.frames for cost in costs) <= config.max_frames
    assert sum(cost.decoded for cost in costs) <= config.max_decoded_frames
    assert sum(cost.size for cost in costs) <= config.max_clip_bytes


def test_what_is_looked_at_is_decoded_even_where_it_is_shown_before_its_keyframe() -> None:
    times = [(10.0, True), (11.0, False), (20.0, True), (5.0, False), (21.0, False)]
    samples = [Sample(time_s, is_keyframe, True, 100) for time_s, is_keyframe in times]
    [plan] = plan_tracks([samples], SamplingConfig(8))
    assert plan is not None
    picked = {pick.sample for window in plan.windows for pick in window}
    assert 3 in picked
    assert picked <= {*plan.needed()}
