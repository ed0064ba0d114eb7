"""What is looked at beyond the even plan: by packet sizes, by a seed, around sightings, with high scrutiny."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise

import pytest
from timelines import random_timeline, regular

from wildgate_server.media.sample import Sample
from wildgate_server.sampling.cost import CostLimit, sharing_clips
from wildgate_server.sampling.look import PLAIN_LOOK, Look, Scrutiny
from wildgate_server.sampling.plan import (
    Pick,
    SamplingConfig,
    TrackKind,
    believed,
    longest_gap_s,
    plan_sampling,
    plan_windows,
)
from wildgate_server.sampling.random_draw import draw, is_drawn

CONFIG = SamplingConfig(8)
CLOSELY = Look(Scrutiny.HIGH)


def film(large: dict[int, int] | None = None, key: int = 40_000, inter: int = 2_000) -> list[Sample]:
    """12 s at 30 frames/s, a keyframe every 2 s; some frames, by number, are larger."""
    sizes = large or {}
    return [
        sample._replace(size_bytes=sizes.get(at, key if sample.is_keyframe else inter))
        for at, sample in enumerate(regular(361, 1 / 30, 60))
    ]


def numbers(
    samples: list[Sample], look: Look = PLAIN_LOOK, config: SamplingConfig = CONFIG, track: int = 0
) -> list[int]:
    plan = plan_sampling(samples, config, look, TrackKind(track))
    assert plan is not None
    return [pick.sample for pick in plan.picks]


EVEN = numbers(film())


@pytest.mark.parametrize("key", [40_000, 400_000])
def test_a_shot_between_keyframes_is_looked_at_however_large_these_are(key: int) -> None:
    looked_at = numbers(film({75: 38_000, 105: 38_000}, key))
    assert {75, 105, *EVEN} <= {*looked_at}
    assert max(looked_at) == EVEN[-1]
    assert len(looked_at) <= 9, "and only one frame beside them"


def test_a_picture_right_after_a_keyframe_is_looked_at_in_its_place() -> None:
    decoys = {at + 1: 38_000 for at in range(0, 300, 60)}
    looked_at = numbers(film(decoys))
    assert set(decoys) <= set(looked_at)
    assert len(looked_at) <= len(EVEN) + 1
    assert all(after - before <= 60 for before, after in pairwise(looked_at))


def test_flashes_are_one_new_picture() -> None:
    looked_at = numbers(film(dict.fromkeys(range(71, 110, 2), 30_000)))
    assert any(number in range(71, 110, 2) for number in looked_at)


def test_frames_that_are_a_little_larger_are_none() -> None:
    assert numbers(film(dict.fromkeys(range(7, 360, 31), 2200))) == EVEN
    assert numbers(film(inter=30_000, large=dict.fromkeys(range(7, 360, 31), 34000))) == EVEN


def test_where_every_frame_is_larger_than_keyframes_there_are_more_looks() -> None:
    samples = film(inter=60_000)
    assert all(after - before <= 30 for before, after in pairwise(numbers(samples)))


@pytest.mark.parametrize(
    ("look", "pixels", "frames_apart"),
    [(PLAIN_LOOK, 320 * 180, 30), (PLAIN_LOOK, 1280 * 720, 60), (PLAIN_LOOK, 0, 60), (CLOSELY, 320 * 180, 15)],
)
def test_small_pictures_are_looked_at_more_often(look: Look, pixels: int, frames_apart: int) -> None:
    plan = plan_sampling(film(), CONFIG, look, TrackKind(pixels=pixels))
    assert plan is not None
    assert gap_of(plan.picks, [0.0, 12.0]) == pytest.approx(frames_apart / 30)


@pytest.mark.parametrize("pixels", [640 * 360, 1920 * 1080])
def test_looks_in_what_is_decoded_anyway_are_bounded_by_what_they_cost(pixels: int) -> None:
    single = [sample._replace(is_keyframe=at == 0) for at, sample in enumerate(film(key=500, inter=500))]
    limit = CostLimit(single, CONFIG, pixels)
    plans = [
        plan_sampling(samples, CONFIG, track=TrackKind(pixels=pixels))
        for samples in ([sample._replace(size_bytes=0) for sample in single], single)
    ]
    even, more = (limit.cost(plan.picks) for plan in plans if plan)
    assert even < more <= 1.3 * even


def test_unknown_sizes_tell_nothing() -> None:
    assert numbers([sample._replace(size_bytes=0) for sample in film()]) == EVEN


def test_high_scrutiny_leaves_no_second_out_and_draws_among_what_is_decoded_anyway() -> None:
    looked_at = numbers(film(), CLOSELY)
    assert all(after - before <= 30 for before, after in pairwise(looked_at))
    drawn = {tuple(set(numbers(film(), Look(Scrutiny.HIGH, bytes([seed]) * 32))) - {*looked_at}) for seed in range(20)}
    assert len(drawn) > 10
    assert all(number % 60 < 30 for numbers in drawn for number in numbers)


def test_high_scrutiny_looks_behind_keyframes_where_these_alone_would_do() -> None:
    dense = [sample._replace(size_bytes=1000) for sample in regular(361, 1 / 30, 30)]
    assert {number + 1 for number in range(0, 330, 30)} <= set(numbers(dense, CLOSELY))


def test_a_share_of_videos_is_drawn() -> None:
    seeds = [number.to_bytes(32, "big") for number in range(4000)]
    assert 150 < sum(is_drawn(seed, 0.05) for seed in seeds) < 250
    assert not is_drawn(b"", 1.0)
    assert all(is_drawn(seed, 1.0) for seed in seeds)


@pytest.mark.parametrize("number", range(60))
def test_what_is_drawn_comes_to_the_rest(number: int) -> None:
    seed = random.Random(number).randbytes(32)
    always = SamplingConfig(8, random_share=1.0)
    looked_at = numbers(film(), Look(seed=seed), always)
    rest = numbers(film(), Look(seed=seed), SamplingConfig(8, random_share=0.0))
    assert set(rest) <= set(looked_at)
    assert len(rest) <= len(EVEN)
    assert len(looked_at) <= len(rest) + 1
    assert looked_at == numbers(film(), Look(seed=seed), always)


@pytest.mark.parametrize("seconds", [60, 64])
@pytest.mark.parametrize("number", range(10))
def test_what_is_drawn_has_a_place_however_many_looks_are_cheap(seconds: int, number: int) -> None:
    seed = random.Random(number).randbytes(32)
    samples = [Sample(at / 30, at % 60 == 0, True, 40_000 if at % 60 == 0 else 2_000) for at in range(30 * seconds)]
    config = SamplingConfig(8, random_share=1.0)
    plan = plan_sampling(samples, config, Look(seed=seed), TrackKind(pixels=320 * 180))
    assert plan is not None
    assert draw(seed, "frame", len(samples)) in {pick.sample for pick in plan.picks}
    assert len(plan.picks) <= config.max_frames


def test_seeds_differ_in_where_they_begin_among_dense_keyframes() -> None:
    dense = [sample._replace(size_bytes=1000) for sample in regular(361, 1 / 30, 15)]
    plans = {tuple(numbers(dense, Look(seed=bytes([number]) * 32))) for number in range(20)}
    assert len(plans) > 2
    assert max(map(len, plans)) <= len(numbers(dense)) + 1


@pytest.mark.parametrize("at_s", [0.0, 0.5, 4.0, 5.97, 11.9])
def test_around_a_sighting_frames_on_both_sides_tell_how_long_it_lasted(at_s: float) -> None:
    plan = plan_sampling(film(), CONFIG, Look(near=((0, at_s),)))
    assert plan is not None
    offsets = [round(pick.time_s - at_s, 3) for pick in plan.picks]
    assert 4 <= len(offsets) <= 16
    assert all(0 < abs(offset) <= 0.65 for offset in offsets)
    assert any(0.35 <= abs(offset) <= 0.65 for offset in offsets)


def test_sightings_of_other_tracks_are_not_looked_at_and_many_are_bounded() -> None:
    assert numbers(film(), Look(near=((1, 3.0),))) == []
    everywhere = tuple((0, at / 3) for at in range(36))
    assert len(numbers(film(), Look(near=everywhere))) <= 32


def test_the_only_frame_is_looked_at_again_where_nothing_is_around_it() -> None:
    assert numbers([Sample(1.0, True, size_bytes=9)], Look(near=((0, 1.0),))) == [0]


def test_only_sound_keyframes_are_believed_and_the_first_packet() -> None:
    look = Look(sound_keyframes=((0, 4.0), (1, 6.0)))
    assert [at for at, sample in enumerate(believed(film(), look, 0)) if sample.is_keyframe] == [0, 120]
    assert [at for at, sample in enumerate(believed(film(), look, 1)) if sample.is_keyframe] == [0, 180]
    assert believed(film(), PLAIN_LOOK, 0) == film()


def test_windows_of_one_long_group_are_paid_for_once() -> None:
    """A minute with one keyframe is looked at every second, for all of it is decoded anyway."""
    samples = [Sample(at / 30, at == 0, size_bytes=1000) for at in range(1800)]
    plan = plan_sampling(samples, CONFIG)
    assert plan is not None
    looked_at_s = [pick.time_s for pick in plan.picks]
    assert longest_gap_s(0.0, looked_at_s, looked_at_s[-1]) <= 1.0 + 1e-6
    assert len(plan_windows(plan.picks, CONFIG)) == 8


@pytest.mark.parametrize("number", range(200))
@pytest.mark.parametrize("scrutiny", Scrutiny)
def test_whatever_is_added_keeps_to_the_limits_and_leaves_no_longer_gap(number: int, scrutiny: Scrutiny) -> None:
    rng = random.Random(number)
    seed = rng.randbytes(32)
    timeline = random_timeline(number)
    sized = [sample._replace(size_bytes=rng.choice([200, 900, 30_000])) for sample in timeline.samples]
    config = SamplingConfig(
        8, 2.0, rng.choice([3, 16, 64]), rng.choice([60, 400, 2000]), high_max_frames=80, random_share=1.0
    )
    look = Look(scrutiny, seed)
    plan = plan_sampling(sized, config, look)
    less = replace(config, max_frames=config.max_frames - 1)  # what is drawn has a place
    bare = plan_sampling([sample._replace(size_bytes=0) for sample in sized], less, Look(scrutiny))
    if plan is None or bare is None:
        assert plan is bare
        return
    assert plan == plan_sampling(sized, config, look)
    bounds = config.under(look)
    assert len(plan.picks) <= bounds.max_frames
    assert len(plan.picks) <= 1 or CostLimit(sized, bounds).affords(plan.picks)
    assert all(sized[pick.sample].displayed and sized[pick.sample].time_s == pick.time_s for pick in plan.picks)
    assert all(before.time_s < after.time_s for before, after in pairwise(plan.picks))
    reach_s = max(bounds.max_gap_s, gap_of(bare.picks, timeline.shown_s))
    assert gap_of(plan.picks, timeline.shown_s) <= reach_s + 1e-5


def gap_of(picks: tuple[Pick, ...], shown_s: list[float]) -> float:
    return longest_gap_s(shown_s[0], [pick.time_s for pick in picks], shown_s[-1])


def gaps_between(looked_at: list[int]) -> int:
    return max(after - before for before, after in pairwise(looked_at))


@pytest.mark.parametrize("codec", ["vp9", "av1"])
def test_large_frames_at_one_distance_are_an_encoder_s_habit(codec: str) -> None:
    habit = {at: 20_000 for at in range(1, 360) if at % 60 and at % 60 % 10 == 0}
    assert len(sized(film(habit), codec)) == len(EVEN)
    shot = {75: 20_000, 101: 20_000}
    assert {75, 101} <= {*sized(film(habit | shot), codec)}
    assert gaps_between(sized(film(habit), "h264")) <= 30, "there they are cuts, among which a shot may hide"


def test_where_sizes_do_not_tell_of_a_shot_there_is_a_look_every_second() -> None:
    cuts = dict.fromkeys((7, 29, 68, 75, 97, 140, 166, 199, 215, 251, 290, 333), 20_000)
    assert gaps_between(sized(film(cuts), "mpeg4")) <= 30
    assert gaps_between(sized(film(), "vp8")) <= 30


def test_what_is_coded_finely_is_a_refresh_and_what_is_not_a_new_picture() -> None:
    large = dict.fromkeys((20, 40, 75, 101, 140, 160, 200, 230, 260, 280, 320, 340), 20_000)

    def looked_at(coarse: set[int]) -> set[int]:
        track = TrackKind(codec="vp9", quantiser=lambda place: 3.0 if place in {*large} - coarse else 6.0)
        plan = plan_sampling(film(large), CONFIG, track=track)
        assert plan is not None
        return {pick.sample for pick in plan.picks}

    assert {*EVEN} == looked_at(set())
    assert {75, 101} <= looked_at({75, 101})
    assert {100, 101} <= looked_at({101}), "what it ends may have begun with a refresh"


def test_a_frame_that_holds_much_at_a_coarse_quantiser_is_a_new_picture() -> None:
    def looked_at(step: float) -> set[int]:
        track = TrackKind(codec="vp9", quantiser=lambda place: step if place == 75 else 6.0)
        plan = plan_sampling(film({75: 1_500}), CONFIG, track=track)
        assert plan is not None
        return {pick.sample for pick in plan.picks}

    assert 75 not in looked_at(8.0)
    assert 75 in looked_at(30.0)


def test_where_most_frames_hold_much_for_a_while_their_middle_is_looked_at() -> None:
    many = dict.fromkeys(range(140, 172), 9_000)
    assert any(140 < number < 172 for number in numbers(film(many)))


@pytest.mark.parametrize("pixels", [320 * 180, 720 * 1280])
def test_new_pictures_are_not_crowded_out_by_looks_that_are_cheap(pixels: int) -> None:
    shots = (75, 345, 615, 885, 1155)
    samples = [
        sample._replace(size_bytes=38_000 if at in shots else 40_000 if sample.is_keyframe else 2_000)
        for at, sample in enumerate(regular(1801, 1 / 30, 60))
    ]
    plan = plan_sampling(samples, SamplingConfig(8, max_frames=40), track=TrackKind(pixels=pixels))
    assert plan is not None
    assert {*shots} <= {pick.sample for pick in plan.picks}


def test_small_rises_count_only_while_they_are_few() -> None:
    noisy = {at: 48_000 for at in range(5, 360, 17) if at % 60}
    assert sized(film(noisy, inter=30_000), "h264") == EVEN
    assert 75 in sized(film({75: 48_000}, inter=30_000), "h264")


def test_what_leads_to_a_coarse_keyframe_is_looked_at() -> None:
    coarse = film({185: 30_000})
    coarse[180] = coarse[180]._replace(size_bytes=10_000)
    assert any(120 < number < 180 for number in numbers(coarse))


@pytest.mark.parametrize("scrutiny", Scrutiny)
def test_of_what_flashes_in_every_second_frame_both_are_looked_at(scrutiny: Scrutiny) -> None:
    looked_at = numbers(film({75: 38_000, 76: 38_000}), Look(scrutiny))
    assert len({number % 2 for number in looked_at if number % 60}) == 2


def test_high_scrutiny_looks_at_the_end() -> None:
    """A picture may be shown last for as long as a gap may be."""
    gif = [Sample(at / 8, at == 0, size_bytes=5000) for at in range(17)]
    assert max(numbers(gif, CLOSELY)) > 8


def test_no_more_windows_share_a_clip_than_go_in_one_request() -> None:
    samples = [Sample(at / 30, at == 0, size_bytes=1000) for at in range(1800)]
    config = SamplingConfig(8, high_max_gap_s=0.5)
    plan = plan_sampling(samples, config, CLOSELY)
    assert plan is not None
    groups = sharing_clips(plan_windows(plan.picks, config))
    assert max(map(len, groups)) == 8 < len(plan_windows(plan.picks, config))
    assert sum(max(pick.sample for window in group for pick in window) + 1 for group in groups) <= 4000


def sized(samples: list[Sample], codec: str) -> list[int]:
    plan = plan_sampling(samples, CONFIG, track=TrackKind(codec=codec))
    assert plan is not None
    return [pick.sample for pick in plan.picks]


def test_where_keyframes_fail_only_gaps_are_closed() -> None:
    samples = [Sample(at / 30, at == 0, size_bytes=1000) for at in range(1800)]
    assert numbers(samples, Look(sound_keyframes=())) == numbers([each._replace(size_bytes=0) for each in samples])


def test_what_is_sound_is_not_looked_at_again() -> None:
    sound = tuple((0, float(at)) for at in range(0, 13, 2) if at != 6)
    [again] = numbers(believed(film(), look := Look(sound_keyframes=sound), 0), look)
    assert 120 < again <= 240
    assert numbers(believed(film(), look, 0), look, track=1), "of another track nothing was"
