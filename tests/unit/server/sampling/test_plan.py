"""The choice of frames: what must hold for any video, and exact answers for small ones."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain, combinations, pairwise

import pytest
from timelines import random_timeline, regular

from wildgate_server.media.sample import Sample
from wildgate_server.sampling.plan import (
    Pick,
    SamplingConfig,
    SamplingPlan,
    longest_gap_s,
    plan_sampling,
    plan_windows,
    sharing_clips,
)

SEEDS = range(150)
EPSILON = 1e-5


def config(max_gap_s: float = 2.0, max_frames: int = 10_000, places: int = 8) -> SamplingConfig:
    return SamplingConfig(places, max_gap_s, max_frames)


def plan_of(samples: Sequence[Sample], sampling: SamplingConfig) -> SamplingPlan:
    plan = plan_sampling(samples, sampling)
    assert plan is not None
    return plan


def looked_at(samples: Sequence[Sample], sampling: SamplingConfig) -> list[float]:
    return [pick.time_s for pick in plan_of(samples, sampling).picks]


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
    assert (plan.first_s, plan.last_s) == (timeline.first_s, timeline.last_s)
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
    plan = plan_of(samples, config(max_gap_s))
    fill = [pick.time_s for pick in plan.picks if 0.0 < pick.time_s < goal_s]
    if goal_s <= max_gap_s:
        assert len(plan.picks) <= 3, "none is needed: what is looked at beside the first is for its own sake"
        return
    assert closes(fill)
    assert len(fill) == min(map(len, valid))
    # A run's packets go up to its last wanted frame, so the earliest last frame is the cheapest.
    assert max(fill, default=0.0) == min(max(subset, default=0.0) for subset in valid)


def test_dense_keyframes_serve_alone() -> None:
    samples = regular(count=450, frame_s=1 / 30, keyframe_every=15)
    plan = plan_of(samples, config(2.0))
    assert [round(pick.time_s, 6) for pick in plan.picks] == [*range(15)], "every second, for it is cheap"
    assert all(pick.sample == pick.keyframe for pick in plan.picks)


def test_keyframes_exactly_a_gap_apart_need_no_frames_between() -> None:
    """Times such as 0.1 * 3 are a little off; that must not cost packets."""
    samples = regular(count=31, frame_s=0.1, keyframe_every=3)
    assert all(sample.is_keyframe for sample in (samples[at] for at in range(0, 31, 3)))
    plan = plan_of(samples, config(0.3))
    assert [pick.sample for pick in plan.picks] == list(range(0, 30, 3))


@pytest.mark.parametrize(
    ("samples", "max_gap_s", "times_s"),
    [
        pytest.param(regular(12, 0.5, 11), 2.0, [0.0, 1.5, 3.5, 5.5], id="sparse keyframes, filled with the earliest"),
        pytest.param(regular(11, 0.5, 100), 2.0, [0.0, 1.0, 3.0], id="a tail behind the last keyframe"),
        pytest.param(
            [key(-1.0, False), inter(0.0), inter(0.5), key(1.0), inter(1.5)], 2.0, [1.0, 1.5], id="a near keyframe"
        ),
        pytest.param(
            [key(0.2), inter(0.0), inter(0.1), inter(0.3)], 0.05, [0.2, 0.3], id="leading pictures of the first"
        ),
        pytest.param([inter(0.0), inter(0.1), key(0.2), inter(0.3)], 0.05, [0.2, 0.3], id="frames before any keyframe"),
        pytest.param(
            [key(0.0), inter(0.5), inter(1.0), inter(9.0), inter(9.5), key(10.0)],
            2.0,
            [0.0, 1.0, 9.0, 10.0],
            id="a hole, from both sides",
        ),
        # A slide show: its last picture is shown for long, but is one frame.
        pytest.param([key(0.0), inter(10.0)], 2.0, [0.0, 10.0], id="a last frame behind a hole"),
        pytest.param([key(0.0), inter(1.0), inter(10.0)], 2.0, [0.0, 1.0, 10.0], id="a hole after an inter frame"),
        pytest.param([key(0.0), key(10.0)], 2.0, [0.0, 10.0], id="a hole between keyframes"),
        pytest.param(
            [key(0.0), inter(1.0), inter(1.0), inter(1.0), key(2.0), inter(2.0), key(2.0), inter(3.0)],
            1.0,
            [0.0, 1.0, 2.0],
            id="equal timestamps are one moment",
        ),
        pytest.param([key(1.0), inter(1.0), inter(1.0), key(1.0)], 0.5, [1.0], id="and so is a video of one moment"),
    ],
)
def test_what_is_looked_at(samples: list[Sample], max_gap_s: float, times_s: list[float]) -> None:
    assert looked_at(samples, config(max_gap_s)) == times_s


def test_a_late_first_keyframe_does_not_hide_the_start() -> None:
    """Frames from the keyframe that an edit list cuts away are shown long before the next keyframe."""
    samples = [key(-1.0, displayed=False), *(inter(at * 0.5) for at in range(8)), key(4.0), inter(4.5)]
    plan = plan_of(samples, config(2.0))
    assert plan.picks[0] == Pick(0.0, keyframe=0, sample=1, shown_s=0.5)
    assert plan.first_s == 0.0
    assert [pick.time_s for pick in plan.picks] == [0.0, 2.0, 4.0]


def test_discarded_frames_are_never_looked_at_but_serve_to_decode() -> None:
    samples = [key(0.0, displayed=False), inter(0.1, displayed=False), inter(0.2), inter(0.3), inter(0.4, False)]
    plan = plan_of(samples, config(0.05))
    assert [(pick.time_s, pick.keyframe, pick.sample) for pick in plan.picks] == [(0.2, 0, 2), (0.3, 0, 3)]
    assert (plan.first_s, plan.last_s) == (0.2, 0.3)


def test_a_leading_picture_takes_the_group_before_along() -> None:
    samples = [key(0.0), inter(0.1), key(0.4), inter(0.2), inter(0.3), inter(0.5)]
    plan = plan_of(samples, config(0.1))
    runs = {pick.time_s: (pick.keyframe, pick.sample) for pick in plan.picks}
    assert runs == {0.0: (0, 0), 0.1: (0, 1), 0.2: (0, 3), 0.3: (0, 4), 0.4: (2, 2)}


@pytest.mark.parametrize("samples", [[inter(0.0), inter(9.0), key(10.0)], [key(10.0), inter(0.0), inter(9.0)]])
def test_frames_that_cannot_be_shown_are_a_gap_and_do_not_shorten_the_video(samples: list[Sample]) -> None:
    plan = plan_of(samples, config(2.0))
    assert [pick.time_s for pick in plan.picks] == [10.0]
    assert (plan.first_s, plan.last_s) == (0.0, 10.0)


def test_without_any_keyframe_flag_decoding_starts_at_the_first_packet() -> None:
    """Some containers lose the flag, and intra refresh has no keyframes at all."""
    samples = [inter(at * 0.5) for at in range(10)]
    plan = plan_of(samples, config(2.0))
    assert {pick.keyframe for pick in plan.picks} == {0}
    assert [pick.time_s for pick in plan.picks] == [0.0, 0.5, 2.5]


def test_a_single_frame() -> None:
    plan = plan_of([key(3.5)], config())
    assert plan.picks == (Pick(3.5, 0, 0),)
    assert (plan.first_s, plan.last_s) == (3.5, 3.5)


@pytest.mark.parametrize("samples", [[], [key(0.0, False), inter(0.1, False)], [inter(0.0, False)]])
def test_without_a_frame_to_show_there_is_no_plan(samples: list[Sample]) -> None:
    assert plan_sampling(samples, config()) is None


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


def decoded(picks: Sequence[Pick], sampling: SamplingConfig) -> list[range]:
    """The runs of samples that decoding all windows takes, by window and keyframe."""
    runs = []
    for windows in sharing_clips(plan_windows(picks, sampling)):
        runs += runs_of([*chain.from_iterable(windows)])
    return runs


def runs_of(picks: Sequence[Pick]) -> list[range]:
    """The runs of samples that decoding a clip takes, one for each keyframe."""
    keyframes = {pick.keyframe for pick in picks}
    return [range(key, max(pick.sample for pick in picks if pick.keyframe == key) + 1) for key in keyframes]


def frames_decoded(picks: Sequence[Pick], sampling: SamplingConfig) -> int:
    return sum(map(len, decoded(picks, sampling)))


def bytes_sent(picks: Sequence[Pick], samples: Sequence[Sample], sampling: SamplingConfig) -> int:
    return sum(
        len(windows) * samples[at].size_bytes
        for windows in sharing_clips(plan_windows(picks, sampling))
        for run in runs_of([*chain.from_iterable(windows)])
        for at in run
    )


def given_up_from_the_far_end(picks: Sequence[Pick], sampling: SamplingConfig) -> list[Pick]:
    """The plainest way to keep within the budget: the picks farthest from their keyframes go first."""
    kept = list(picks)
    while len(kept) > 1 and frames_decoded(kept, sampling) > sampling.max_decoded_frames:
        kept.remove(max(kept, key=lambda pick: pick.sample - pick.keyframe))
    return kept


@pytest.mark.parametrize("seed", SEEDS)
def test_what_a_video_costs_stays_within_bounds(seed: int) -> None:
    """Whatever the video."""
    rng = random.Random(seed)
    samples = [
        sample._replace(size_bytes=rng.randint(1000, 9000) if sample.is_keyframe else 50)
        for sample in random_timeline(seed).samples
    ]
    free = SamplingConfig(rng.choice([1, 3, 8]), rng.choice([0.3, 1.0, 2.0]), 64, 10**9, 10**12)
    wanted = plan_sampling(samples, free)
    if wanted is None:
        return
    frames, size = frames_decoded(wanted.picks, free), bytes_sent(wanted.picks, samples, free)
    for part in (1.0, 0.8, 0.3, 0.05):
        tight = replace(free, max_decoded_frames=int(frames * part), max_clip_bytes=int(size * part))
        plan = plan_of(samples, tight)
        assert (plan.first_s, plan.last_s) == (wanted.first_s, wanted.last_s)
        if len(plan.picks) > 1:
            assert frames_decoded(plan.picks, tight) <= tight.max_decoded_frames
            assert bytes_sent(plan.picks, samples, tight) <= tight.max_clip_bytes
        assert plan.picks


@pytest.mark.parametrize("seed", SEEDS)
def test_a_plan_that_fits_is_left_as_it_is(seed: int) -> None:
    free = SamplingConfig(random.Random(seed).choice([1, 3, 8]), 1.0, 64, 10**9, 10**12)
    samples = random_timeline(seed).samples
    if wanted := plan_sampling(samples, free):
        assert plan_of(samples, replace(free, max_decoded_frames=frames_decoded(wanted.picks, free))) == wanted


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_not_affordable_leaves_shorter_gaps_than_giving_up_the_far_end(seed: int) -> None:
    rng = random.Random(seed)
    samples = random_timeline(seed).samples
    free = SamplingConfig(8, rng.choice([0.3, 1.0]), 64, 10**9, 10**12)
    wanted = plan_sampling(samples, free)
    if wanted is None:
        return
    tight = replace(free, max_decoded_frames=max(frames_decoded(wanted.picks, free) // rng.randint(2, 5), 70))
    plan = plan_of(samples, tight)
    naive = given_up_from_the_far_end(wanted.picks, tight)
    ends = (wanted.first_s, wanted.last_s)
    gap_s, naive_gap_s = (
        longest_gap_s(ends[0], [pick.time_s for pick in picks], ends[1]) for picks in (plan.picks, naive)
    )
    assert gap_s <= naive_gap_s + EPSILON


@pytest.mark.parametrize(("seconds", "longest_s"), [(15, 2.0), (30, 2.0), (36, 2.0), (60, 2.0), (120, 60.0)])
def test_one_keyframe_for_a_whole_video(seconds: int, longest_s: float) -> None:
    """At 30 frames per second and with 2000 frames to decode; where that is not enough, they are spent evenly."""
    plan = plan_of(sparse(seconds), config(2.0, max_frames=64))
    assert frames_decoded(plan.picks, config()) <= 2000
    assert longest_gap_s(plan.first_s, [pick.time_s for pick in plan.picks], plan.last_s) <= longest_s + EPSILON


def test_keyframes_are_kept_when_others_are_given_up() -> None:
    dense = [Sample(at / 30, at % 30 == 0) for at in range(600)]
    late = [Sample(20 + at / 30, at == 0) for at in range(3000)]
    plan = plan_of(dense + late, SamplingConfig(8, 2.0, 64, max_decoded_frames=200))
    assert [pick.time_s for pick in plan.picks if pick.sample == pick.keyframe] == list(range(0, 22, 2))


def test_keyframes_that_are_too_large_are_thinned_evenly() -> None:
    samples = [Sample(float(at), True, size_bytes=1 << 20) for at in range(60)]
    times_s = looked_at(samples, SamplingConfig(8, 1.0, 64, max_clip_bytes=20 << 20))
    assert 15 <= len(times_s) <= 20
    assert longest_gap_s(0.0, times_s, 59.0) <= 4.0


def test_at_least_one_frame_is_looked_at_whatever_it_costs() -> None:
    assert looked_at(sparse(60), SamplingConfig(8, 2.0, 64, max_decoded_frames=1)) == [0.0]
    hidden = [Sample(at / 30, at == 0, displayed=at >= 300) for at in range(600)]
    assert len(looked_at(hidden, SamplingConfig(8, 2.0, 64, max_decoded_frames=1))) == 1


@pytest.mark.parametrize("seed", range(40))
def test_windows_are_few_and_split_where_it_costs_the_least(seed: int) -> None:
    """Against all ways to split."""
    rng = random.Random(seed)
    keyframe, picks = 0, []
    for place in range(rng.randint(1, 11)):
        if rng.random() < 0.4:
            keyframe = place * 20
        picks.append(Pick(float(place), keyframe, place * 20 + (rng.randint(0, 19) if place * 20 > keyframe else 0)))
    sampling = config(places=3)
    windows = plan_windows(picks, sampling)
    assert [pick for window in windows for pick in window] == picks
    fewest = -(-len(picks) // 3)
    assert len(windows) == fewest

    def cost(cuts: Sequence[int]) -> int:
        total = 0
        for start, end in pairwise((0, *cuts, len(picks))):
            if not 1 <= end - start <= 3:
                return 1 << 30
            group = picks[start:end]
            for key_place in {pick.keyframe for pick in group}:
                total += max(pick.sample for pick in group if pick.keyframe == key_place) + 1 - key_place
        return total

    best = min(cost(cuts) for cuts in combinations(range(1, len(picks)), fewest - 1))
    assert frames_decoded(picks, sampling) == best


def test_a_frame_that_its_neighbours_do_without_does_not_open_a_window() -> None:
    """A window costs the same whether it holds one frame or eight."""
    assert looked_at(regular(510, 1 / 30, 60), config(2.0)) == pytest.approx([2, 4, 6, 8, 10, 12, 14, 16])
    assert len(looked_at(regular(540, 1 / 30, 60), config(2.0))) == 8
    assert len(looked_at(regular(570, 1 / 30, 60), config(2.0))) == 10, "one is spare, but two are too many"
