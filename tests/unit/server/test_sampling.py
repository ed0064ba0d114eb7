"""The choice of frames: what must hold for any video, and exact answers for small ones."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import chain, combinations, pairwise

import pytest
from timelines import random_timeline, regular

from wildgate_server.sampling import (
    Pick,
    Sample,
    SamplingConfig,
    longest_gap_s,
    plan_sampling,
    plan_windows,
)

SEEDS = range(150)
EPSILON = 1e-5


def config(max_gap_s: float = 2.0, max_frames: int = 10_000, places: int = 8) -> SamplingConfig:
    return SamplingConfig(places, max_gap_s, max_frames)


def looked_at(samples: Sequence[Sample], sampling: SamplingConfig) -> list[float]:
    plan = plan_sampling(samples, sampling)
    assert plan is not None
    return [pick.time_s for pick in plan.picks]


def key(time_s: float, displayed: bool = True) -> Sample:
    return Sample(time_s, True, displayed)


def inter(time_s: float, displayed: bool = True) -> Sample:
    return Sample(time_s, False, displayed)


def assert_gaps_are_closed(times_s: Sequence[float], shown_s: Sequence[float], max_gap_s: float) -> None:
    assert set(times_s) <= set(shown_s)
    assert times_s[0] - shown_s[0] <= max_gap_s + EPSILON
    assert shown_s[-1] - times_s[-1] <= max_gap_s + EPSILON
    for before, after in pairwise(times_s):
        if after - before > max_gap_s + EPSILON:
            assert not [time_s for time_s in shown_s if before < time_s < after], "a frame could have closed the gap"


@pytest.mark.parametrize("seed", SEEDS)
def test_no_gap_is_left_that_a_frame_could_close(seed: int) -> None:
    timeline = random_timeline(seed)
    max_gap_s = random.Random(seed).choice([0.3, 1.0, 2.0, 5.0])
    plan = plan_sampling(timeline.samples, config(max_gap_s))
    if not timeline.shown_s:
        assert plan is None
        return
    assert plan is not None
    assert (plan.first_s, plan.last_s) == (timeline.shown_s[0], timeline.shown_s[-1])
    assert_gaps_are_closed([pick.time_s for pick in plan.picks], timeline.shown_s, max_gap_s)


@pytest.mark.parametrize("seed", SEEDS)
def test_each_pick_is_a_frame_with_the_run_that_decodes_it(seed: int) -> None:
    samples = random_timeline(seed).samples
    plan = plan_sampling(samples, config(0.5))
    picks = plan.picks if plan else ()
    assert all(before.time_s < after.time_s for before, after in pairwise(picks))
    for pick in picks:
        chosen = samples[pick.sample]
        assert chosen.time_s == pick.time_s
        assert chosen.displayed
        assert samples[pick.keyframe].is_keyframe
        assert samples[pick.keyframe].time_s <= pick.time_s
        later = [at for at in range(pick.keyframe + 1, pick.sample + 1) if samples[at].is_keyframe]
        # Only a leading picture needs a run across a keyframe, and that keyframe is shown after it.
        assert all(samples[at].time_s > pick.time_s for at in later)
        assert len(later) <= 1


@pytest.mark.parametrize("seed", SEEDS)
def test_the_budget_holds_and_is_spread_over_the_whole_video(seed: int) -> None:
    timeline = random_timeline(seed)
    if not timeline.shown_s:
        return
    max_frames = random.Random(seed).randint(1, 12)
    times_s = looked_at(timeline.samples, config(0.2, max_frames))
    assert 1 <= len(times_s) <= max_frames
    assert set(times_s) <= set(timeline.shown_s)
    holes = longest_gap_s(timeline.shown_s[0], timeline.shown_s, timeline.shown_s[-1])
    share = (timeline.shown_s[-1] - timeline.shown_s[0]) / max_frames
    # Of three neighbouring gaps at least one is used up, and the gap grows by tenths: 3 * 1.1 shares.
    assert longest_gap_s(timeline.shown_s[0], times_s, timeline.shown_s[-1]) <= max(0.2, 3.3 * share) + holes + EPSILON


@pytest.mark.parametrize("seed", range(60))
def test_closing_a_gap_takes_the_fewest_frames_and_the_fewest_packets(seed: int) -> None:
    """Against all subsets of the frames between two keyframes."""
    rng = random.Random(seed)
    times_s = [0.0]
    for _ in range(rng.randint(1, 9)):
        times_s.append(times_s[-1] + rng.choice([0.1, 0.5, 0.9, rng.uniform(0.05, 1.5)]))
    goal_s = times_s[-1] + rng.choice([0.2, 1.0, 2.5])
    samples = [key(0.0), *map(inter, times_s[1:]), key(goal_s)]
    max_gap_s = 1.0

    def closes(chosen: Sequence[float]) -> bool:
        edges = [0.0, *chosen, goal_s]
        return all(
            after - before <= max_gap_s + EPSILON or not any(before < time_s < after for time_s in times_s)
            for before, after in pairwise(edges)
        )

    inner = times_s[1:]
    subsets = chain.from_iterable(combinations(inner, size) for size in range(len(inner) + 1))
    valid = [subset for subset in subsets if closes(subset)]
    plan = plan_sampling(samples, config(max_gap_s))
    assert plan is not None
    fill = [pick.time_s for pick in plan.picks if 0.0 < pick.time_s < goal_s]
    if goal_s <= max_gap_s:
        assert fill == []
        return
    assert closes(fill)
    assert len(fill) == min(map(len, valid))
    # A run's packets go up to its last wanted frame, so the earliest last frame is the cheapest.
    assert max(fill, default=0.0) == min(max(subset, default=0.0) for subset in valid)


def test_dense_keyframes_serve_alone() -> None:
    samples = regular(count=450, frame_s=1 / 30, keyframe_every=15)
    plan = plan_sampling(samples, config(2.0))
    assert plan is not None
    assert [round(pick.time_s, 6) for pick in plan.picks] == [0, 2, 4, 6, 8, 10, 12, 14]
    assert all(pick.sample == pick.keyframe for pick in plan.picks)


def test_keyframes_exactly_a_gap_apart_need_no_frames_between() -> None:
    """Times such as 0.1 * 3 are a little off; that must not cost packets."""
    samples = regular(count=31, frame_s=0.1, keyframe_every=3)
    assert all(sample.is_keyframe for sample in (samples[at] for at in range(0, 31, 3)))
    plan = plan_sampling(samples, config(0.3))
    assert plan is not None
    assert [pick.sample for pick in plan.picks] == list(range(0, 30, 3))


def test_sparse_keyframes_are_filled_with_the_earliest_frames_that_do() -> None:
    samples = regular(count=12, frame_s=0.5, keyframe_every=11)
    assert looked_at(samples, config(2.0)) == [0.0, 1.5, 3.5, 5.5]


def test_the_tail_behind_the_last_keyframe_is_covered() -> None:
    samples = regular(count=11, frame_s=0.5, keyframe_every=100)
    assert looked_at(samples, config(2.0)) == [0.0, 1.0, 3.0]


def test_a_late_first_keyframe_does_not_hide_the_start() -> None:
    """Frames from the keyframe that an edit list cuts away are shown long before the next keyframe."""
    samples = [key(-1.0, displayed=False), *(inter(at * 0.5) for at in range(8)), key(4.0), inter(4.5)]
    plan = plan_sampling(samples, config(2.0))
    assert plan is not None
    assert plan.picks[0] == Pick(0.0, keyframe=0, sample=1)
    assert plan.first_s == 0.0
    assert [pick.time_s for pick in plan.picks] == [0.0, 2.0, 4.0]


def test_a_near_first_keyframe_opens_the_plan() -> None:
    samples = [key(-1.0, displayed=False), inter(0.0), inter(0.5), key(1.0), inter(1.5)]
    assert looked_at(samples, config(2.0)) == [1.0]


def test_discarded_frames_are_never_looked_at_but_serve_to_decode() -> None:
    samples = [key(0.0, displayed=False), inter(0.1, displayed=False), inter(0.2), inter(0.3), inter(0.4, False)]
    plan = plan_sampling(samples, config(0.05))
    assert plan is not None
    assert [(pick.time_s, pick.keyframe, pick.sample) for pick in plan.picks] == [(0.2, 0, 2), (0.3, 0, 3)]
    assert (plan.first_s, plan.last_s) == (0.2, 0.3)


def test_a_leading_picture_takes_the_group_before_along() -> None:
    samples = [key(0.0), inter(0.1), key(0.4), inter(0.2), inter(0.3), inter(0.5)]
    plan = plan_sampling(samples, config(0.1))
    assert plan is not None
    runs = {pick.time_s: (pick.keyframe, pick.sample) for pick in plan.picks}
    assert runs == {0.0: (0, 0), 0.1: (0, 1), 0.2: (0, 3), 0.3: (0, 4), 0.4: (2, 2)}


def test_leading_pictures_of_the_first_keyframe_cannot_be_shown() -> None:
    samples = [key(0.2), inter(0.0), inter(0.1), inter(0.3)]
    plan = plan_sampling(samples, config(0.05))
    assert plan is not None
    assert plan.first_s == 0.2
    assert [pick.time_s for pick in plan.picks] == [0.2, 0.3]


def test_frames_before_the_first_keyframe_cannot_be_shown() -> None:
    samples = [inter(0.0), inter(0.1), key(0.2), inter(0.3)]
    plan = plan_sampling(samples, config(0.05))
    assert plan is not None
    assert [pick.sample for pick in plan.picks] == [2, 3]


def test_without_any_keyframe_flag_decoding_starts_at_the_first_packet() -> None:
    """Some containers lose the flag, and intra refresh has no keyframes at all."""
    samples = [inter(at * 0.5) for at in range(10)]
    plan = plan_sampling(samples, config(2.0))
    assert plan is not None
    assert {pick.keyframe for pick in plan.picks} == {0}
    assert [pick.time_s for pick in plan.picks] == [0.0, 0.5, 2.5]


def test_a_hole_is_looked_at_from_both_sides() -> None:
    samples = [key(0.0), inter(0.5), inter(1.0), inter(9.0), inter(9.5), key(10.0)]
    assert looked_at(samples, config(2.0)) == [0.0, 1.0, 9.0, 10.0]


def test_a_last_frame_behind_a_hole_is_looked_at() -> None:
    """A slide show: its last picture is shown for long, but is one frame."""
    assert looked_at([key(0.0), inter(10.0)], config(2.0)) == [0.0, 10.0]
    assert looked_at([key(0.0), inter(1.0), inter(10.0)], config(2.0)) == [0.0, 1.0, 10.0]
    assert looked_at([key(0.0), key(10.0)], config(2.0)) == [0.0, 10.0]


def test_a_single_frame() -> None:
    plan = plan_sampling([key(3.5)], config())
    assert plan is not None
    assert plan.picks == (Pick(3.5, 0, 0),)
    assert (plan.first_s, plan.last_s) == (3.5, 3.5)


@pytest.mark.parametrize("samples", [[], [key(0.0, False), inter(0.1, False)], [inter(0.0, False)]])
def test_nothing_to_show_is_no_plan(samples: list[Sample]) -> None:
    assert plan_sampling(samples, config()) is None


def test_equal_timestamps_are_one_moment() -> None:
    assert looked_at([key(1.0), inter(1.0), inter(1.0), key(1.0)], config(0.5, max_frames=3)) == [1.0]
    samples = [key(0.0), inter(1.0), inter(1.0), inter(1.0), key(2.0), inter(2.0), key(2.0), inter(3.0)]
    times_s = looked_at(samples, config(1.0))
    assert times_s == [0.0, 1.0, 2.0]


def test_a_budget_too_small_for_the_gap_spreads_evenly() -> None:
    samples = regular(count=1000, frame_s=0.1, keyframe_every=1)
    times_s = looked_at(samples, config(2.0, max_frames=10))
    gaps = [after - before for before, after in pairwise(times_s)]
    assert len(times_s) == 10
    assert max(gaps) - min(gaps) <= 0.1 + EPSILON
    assert samples[-1].time_s - times_s[-1] <= max(gaps) + EPSILON


def test_a_budget_of_one_frame() -> None:
    assert len(looked_at(regular(count=100, frame_s=0.5, keyframe_every=10), config(1.0, max_frames=1))) == 1


@pytest.mark.parametrize(
    ("times_s", "expected"), [([], 9.0), ([1.0], 9.0), ([5.0], 5.0), ([2.0, 4.0, 9.0], 5.0), ([1.0, 2.0], 8.0)]
)
def test_longest_gap_counts_both_ends(times_s: list[float], expected: float) -> None:
    assert longest_gap_s(1.0, times_s, 10.0) == expected


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 16, 17])
def test_windows_keep_order_and_hold_at_most_f(count: int) -> None:
    picks = [Pick(float(at), at, at) for at in range(count)]
    windows = plan_windows(picks, config(places=8))
    assert [pick for window in windows for pick in window] == picks
    assert len(windows) == -(-count // 8)
    assert all(1 <= len(window) <= 8 for window in windows)


def sparse(seconds: int, fps: int = 30, size_bytes: int = 1000) -> list[Sample]:
    """One keyframe, and nothing but frames that refer to it."""
    return [Sample(at / fps, at == 0, size_bytes=size_bytes) for at in range(seconds * fps)]


def cost(plan_picks: Sequence[Pick], places: int) -> int:
    """Frames decoded when each window of picks is decoded from its keyframe on."""
    windows = [plan_picks[start : start + places] for start in range(0, len(plan_picks), places)]
    return sum(max(pick.sample for pick in window) + 1 for window in windows)


@pytest.mark.parametrize(("budget", "seconds"), [(2000, 60), (2000, 595), (300, 60), (1, 60)])
def test_what_costs_more_than_it_may_is_given_up_from_the_far_end(budget: int, seconds: int) -> None:
    samples = sparse(seconds)
    sampling = SamplingConfig(8, 2.0, 64, max_decoded_frames=budget)
    plan = plan_sampling(samples, sampling)
    free = plan_sampling(samples, SamplingConfig(8, 2.0, 64, max_decoded_frames=10**9))
    assert plan is not None
    assert free is not None
    assert cost(plan.picks, 8) <= budget < cost(free.picks, 8)
    assert plan.picks == free.picks[: len(plan.picks)]
    assert cost(free.picks[: len(plan.picks) + 1], 8) > budget, "more would have fitted"


def test_clip_bytes_are_bounded_as_well() -> None:
    samples = sparse(60, size_bytes=10_000)
    plan = plan_sampling(samples, SamplingConfig(8, 2.0, 64, max_clip_bytes=3_000_000))
    assert plan is not None
    assert len(plan.picks) > 1
    assert cost(plan.picks, 8) * 10_000 <= 3_000_000


def test_keyframes_are_kept_when_others_are_given_up() -> None:
    dense = [Sample(at / 30, at % 30 == 0) for at in range(600)]
    late = [Sample(20 + at / 30, at == 0) for at in range(3000)]
    plan = plan_sampling(dense + late, SamplingConfig(8, 2.0, 64, max_decoded_frames=200))
    assert plan is not None
    assert [pick.time_s for pick in plan.picks if pick.sample == pick.keyframe] == [
        0,
        2,
        4,
        6,
        8,
        10,
        12,
        14,
        16,
        18,
        20,
    ]
