"""Which frames of a video to look at: the choice alone, without touching a byte of it.

A video is a list of `Sample`s, one per packet, in decode order. Keyframes are cheap: one packet each. Any other frame
costs all packets from its keyframe up to its own, so the plan takes keyframes where they are dense enough and, where
they are not, the frames that close the gap with the fewest packets. To these come frames that an uploader cannot avoid:
new pictures that packet sizes tell (`size_picks`), and what is drawn by a secret (`random_draw`); and frames that cost
little more, since they are decoded anyway (`decoded_anyway`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import NamedTuple

from wildgate_server.media.sample import Sample
from wildgate_server.sampling.cost import LOOK_IN_PIXELS, CostLimit, plan_windows, sharing_clips
from wildgate_server.sampling.decoded_anyway import beside, inside
from wildgate_server.sampling.look import PLAIN_LOOK, Look, Scrutiny
from wildgate_server.sampling.random_draw import draw, is_drawn
from wildgate_server.sampling.sampling_config import SamplingConfig
from wildgate_server.sampling.size_picks import Sizes
from wildgate_server.sampling.timeline import ROUNDING_S, Pick, Timeline, longest_gap_s

__all__ = [
    "Pick",
    "SamplingConfig",
    "SamplingPlan",
    "TrackKind",
    "believed",
    "longest_gap_s",
    "plan_sampling",
    "plan_windows",
    "sharing_clips",
]

_WIDER = 1.03  # by how much a gap grows when it leaves too many frames to look at
_SPARSER = 1.2  # and when these cost too much, which takes longer to tell
_RIGHT_BEFORE_S = 0.25  # a look so shortly before a new picture is worth less than that one
_LITTLE = 1.3  # what may be added for the sake of shorter shots, as a multiple of what a video costs
# What looks close to each other may cost, in looks a second that need no decoding: with a keyframe every two seconds,
# pictures of up to 480x256 are looked at every second, with high scrutiny those of up to 640x480 every half. A usual
# video of 720x1280 takes half as much; a look in the middle of each of its groups would cost four times that.
_WORTH_PER_S, _CLOSELY_WORTH_PER_S = 3 * LOOK_IN_PIXELS // 2, 4 * LOOK_IN_PIXELS
_AROUND_S = (0.25, -0.25, 0.5, -0.5, 0.125, -0.125, 0.375, -0.375)  # of a sighting, the most telling first
_STRAY_S = 0.12  # by how much these may be missed, for a cheaper frame
_MOST_AROUND = 32  # frames, for all sightings together
_SAME_TIME_S = 1e-4


class TrackKind(NamedTuple):
    """What is known of a track beside its samples: the number that a `Look` knows it by, FFmpeg's name of its codec,
    the pixels of its pictures, 0 where these are not known, and where quantisers are known, the step of a packet by
    its place."""

    number: int = 0
    codec: str = ""
    pixels: int = 0
    quantiser: Callable[[int], float | None] | None = None


_ANY_TRACK = TrackKind()


@dataclass(frozen=True, slots=True)
class SamplingPlan:
    """The frames to look at, in presentation order, of a video shown from `first_s` to `last_s`.

    Frames that cannot be decoded are still part of the video: the stretch that they fill is a gap.
    """

    picks: tuple[Pick, ...]
    first_s: float
    last_s: float


def plan_sampling(
    samples: Sequence[Sample], config: SamplingConfig, look: Look = PLAIN_LOOK, track: TrackKind = _ANY_TRACK
) -> SamplingPlan | None:
    """Which frames of a track to look at; None when no sample can be shown.

    No two neighbours, and neither end of the video, are farther apart than `config.max_gap_s` unless the video has no
    frame there or a limit does not suffice. Where there are too many to look at, the gap is widened evenly; where
    they cost too much, first between keyframes alone, and what is too far from any keyframe is given up. What comes
    to these by sizes and by the seed takes what the limits leave. With `look.near` only frames around sightings are
    looked at: where there is none of this track, there are no picks. Where some keyframes alone are believed, those
    have been looked at, and are not picked again.
    """
    config = config.under(look)
    timeline = Timeline(samples)
    if not timeline.times:
        return None
    limit = CostLimit(samples, config, track.pixels)
    if look.near:
        picks = _around([time_s for number, time_s in look.near if number == track.number], timeline, limit)
    else:
        picks = _looked_at(samples, timeline, config, look, limit, track)
        seen_s = _sound_s(look, track.number)
        picks = [pick for pick in picks if not _is_among(seen_s, pick.time_s)]
    shown_s = [sample.time_s for sample in samples if sample.displayed]
    return SamplingPlan(tuple(picks), min(shown_s), max(shown_s))


def believed(samples: Sequence[Sample], look: Look, track: int) -> Sequence[Sample]:
    """The samples of a track with those keyframes alone that `look` believes, and the first: decoding starts there."""
    if look.sound_keyframes is None or not samples:
        return samples
    sound_s = _sound_s(look, track)
    return [
        sample._replace(is_keyframe=at == 0 or (sample.is_keyframe and _is_among(sound_s, sample.time_s)))
        for at, sample in enumerate(samples)
    ]


def _sound_s(look: Look, track: int) -> list[float]:
    """When the keyframes of a track are shown that alone are believed, ascending."""
    return sorted(time_s for number, time_s in look.sound_keyframes or () if number == track)


def _is_among(times_s: Sequence[float], time_s: float) -> bool:
    at = bisect_left(times_s, time_s - _SAME_TIME_S)
    return at < len(times_s) and times_s[at] <= time_s + _SAME_TIME_S


def _looked_at(
    samples: Sequence[Sample],
    timeline: Timeline,
    config: SamplingConfig,
    look: Look,
    limit: CostLimit,
    track: TrackKind,
) -> list[Pick]:
    """The frames that leave no gap; then, as far as limits go, new pictures, what is drawn, and what costs little."""
    closely = look.scrutiny >= Scrutiny.HIGH
    apart_s = config.cheap_gap_s
    worth = round((_CLOSELY_WORTH_PER_S if closely else _WORTH_PER_S) * timeline.duration_s)
    has_sizes = any(sample.size_bytes for sample in samples if not sample.is_keyframe)
    sizes = Sizes(samples, timeline, track.codec, track.quantiser) if has_sizes else None
    picks, spent = _evenly(timeline, config, look, limit), 0
    allowed, draws = config, not closely and is_drawn(look.seed, config.random_share)
    if draws:  # what comes to these leaves it a place, or it could be crowded out
        config = replace(config, max_frames=max(config.max_frames - 1, 1))
    is_told = closely or sizes is None or sizes.tell
    if config.max_gap_s > apart_s and (not is_told or limit.least(timeline.duration_s / apart_s) <= worth):
        denser = _every(apart_s, timeline, config, look, limit, len(sizes.unseen(picks)) if sizes else 0)
        is_cheap = limit.cost(denser) <= worth
        if timeline.gaps_s(denser) < timeline.gaps_s(picks) and (not is_told or is_cheap):
            picks, spent = denser, worth * is_cheap
    if len(picks) == 1:  # a verdict on a short video is not to hang on one frame
        picks = _added(picks, map(timeline.pick, (len(timeline.times) // 2, len(timeline.times) - 1)), config, limit)
    if closely:
        picks = _added(picks, _toward_end(picks, timeline, config.max_gap_s), config, limit)
    if sizes:
        # Of a picture that flashes, a look in between may show the other: with high scrutiny both are looked at.
        shown = [pick for pick in picks if pick.sample == pick.keyframe] if closely else picks
        picks = _with_new_pictures(picks, sizes.unseen(shown), timeline, config, limit)
        if look.sound_keyframes is None:  # where keyframes fail, not all that seems sound behind them is
            most = max(round(_LITTLE * limit.cost(picks)), spent)
            to_end = _added(picks, _toward_end(picks, timeline, apart_s), config, limit)
            if limit.cost(to_end) <= most:
                picks = to_end
            picks = _if_worth(picks, partial(inside, picks, timeline, apart_s), most, config, limit)
            picks = _if_worth(picks, partial(beside, picks, timeline), most, config, limit)
    if closely:
        picks = _closer(picks, timeline, look, config, limit)
    elif draws:
        anywhere = timeline.pick(draw(look.seed, "frame", len(timeline.times)))
        picks = _added(picks, [anywhere], allowed, limit)
    return picks


def _evenly(timeline: Timeline, config: SamplingConfig, look: Look, limit: CostLimit) -> list[Pick]:
    gap_s = config.max_gap_s
    picks = timeline.cover(gap_s, config)
    if look.seed and len(starts := timeline.starts(gap_s)) > 1:  # as cheap, and harder to foretell
        other = timeline.cover(gap_s, config, start=draw(look.seed, "start", len(starts)))
        if len(other) <= len(picks) and all(pick.sample == pick.keyframe for pick in other):
            picks = other
    if len(picks) > config.max_frames:
        gap_s = max(gap_s, timeline.duration_s / config.max_frames)
        picks = timeline.cover(gap_s, config)
    while len(picks) > config.max_frames:
        gap_s *= _WIDER
        picks = timeline.cover(gap_s, config)
    return picks if limit.affords(picks) else _affordable(timeline, gap_s, config, limit)


def _every(
    apart_s: float, timeline: Timeline, config: SamplingConfig, look: Look, limit: CostLimit, told: int
) -> list[Pick]:
    """Picks so far apart that leave places for as many new pictures as sizes tell, if no gap is too long then: short
    shots are found by these rather than by looking evenly."""
    for places in (config.max_frames - told, config.max_frames):
        picks = _evenly(timeline, replace(config, max_gap_s=apart_s, max_frames=max(places, 1)), look, limit)
        if timeline.gaps_s(picks)[0] <= config.max_gap_s:
            break
    return picks


def _affordable(timeline: Timeline, gap_s: float, config: SamplingConfig, limit: CostLimit) -> list[Pick]:
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


def _with_new_pictures(
    picks: list[Pick], unseen: Sequence[Pick], timeline: Timeline, config: SamplingConfig, limit: CostLimit
) -> list[Pick]:
    """With the new pictures, and without the looks right before these that the gaps do without."""
    merged = _added(picks, unseen, config, limit)
    new = {pick.sample for pick in merged} - {pick.sample for pick in picks}
    reach = config.max_gap_s + ROUNDING_S
    kept: list[Pick] = []
    before_s = timeline.times[0]
    for pick, following in pairwise([*merged, None]):
        is_spare = (
            pick is not None
            and following is not None
            and following.sample in new
            and pick.sample not in new
            and following.time_s - pick.time_s <= _RIGHT_BEFORE_S
            and following.time_s - before_s <= reach
        )
        if pick is not None and not is_spare:
            kept.append(pick)
            before_s = pick.time_s
    return kept if len(kept) == len(merged) or limit.affords(kept) else merged


def _if_worth(
    picks: list[Pick], more: Callable[[int], list[Pick]], most: int, config: SamplingConfig, limit: CostLimit
) -> list[Pick]:
    """With as many frames of `more`, which takes how many, as all may cost `most`; these are decoded anyway."""
    if all(pick.sample == pick.keyframe for pick in picks):
        return picks
    affordable = min(config.max_frames - len(picks), (most - limit.cost(picks)) // limit.of_looks(1))
    while affordable > 0:
        added = _added(picks, more(affordable), config, limit)
        if limit.cost(added) <= most:
            return added
        affordable //= 2  # these opened a window that decodes again what the one before has
    return picks


def _toward_end(picks: Sequence[Pick], timeline: Timeline, max_gap_s: float) -> list[Pick]:
    """A frame of what is shown after the last look, where that is longer than a gap: so may a last picture be shown."""
    last = timeline.pick(len(timeline.times) - 1)
    end_s = last.time_s + last.shown_s
    if end_s - picks[-1].time_s <= max_gap_s + ROUNDING_S:
        return []
    return [*map(timeline.pick, timeline.near((picks[-1].time_s + end_s) / 2, end_s)[:1])]


def _closer(picks: list[Pick], timeline: Timeline, look: Look, config: SamplingConfig, limit: CostLimit) -> list[Pick]:
    """With what high scrutiny adds: of what is decoded one that the seed draws, and frames behind keyframes, which cost
    least where these alone are looked at."""
    runs = [pick for pick in picks if pick.sample != pick.keyframe]
    if runs and look.seed:
        run = runs[draw(look.seed, "run", len(runs))]
        inner = range(timeline.place_of(run.keyframe) or 0, timeline.place_of(run.sample) or 0)
        drawn = [timeline.pick(inner[draw(look.seed, "frame", len(inner))])] if inner else []
        picks = _added(picks, drawn, config, limit)
    in_runs = {pick.keyframe for pick in runs}
    places = [timeline.place_of(pick.sample) for pick in picks if pick.keyframe not in in_runs]
    behind = [timeline.pick(place + 1) for place in places if place is not None and place + 1 < len(timeline.times)]
    return _added(picks, behind, config, limit)


def _around(sightings_s: Sequence[float], timeline: Timeline, limit: CostLimit) -> list[Pick]:
    """Frames around sightings, the cheapest of those that lie about where they should; so many for all of them."""
    chosen: dict[int, Pick] = {}
    seen_s = [*sightings_s]
    for offset_s in _AROUND_S:
        for sighting_s in sightings_s:
            goal_s = sighting_s + offset_s
            near = [timeline.pick(place) for place in timeline.near(goal_s - _STRAY_S, goal_s + _STRAY_S)]
            near = [pick for pick in near if all(abs(pick.time_s - each_s) > ROUNDING_S for each_s in seen_s)]
            if not near or any(pick.sample in chosen for pick in near) or len(chosen) >= _MOST_AROUND - 1:
                continue
            ends = {pick.keyframe: pick.sample for pick in sorted(chosen.values(), key=lambda pick: pick.sample)}
            best = min(near, key=lambda pick: max(pick.sample - ends.get(pick.keyframe, pick.keyframe - 1), 0))
            chosen[best.sample] = best
            place = timeline.place_of(best.sample) or 0  # and one beside it, for what flashes
            others = [timeline.pick(each) for each in (place + 1, place - 1) if 0 <= each < len(timeline.times)]
            close = [
                pick for pick in others if abs(pick.time_s - best.time_s) <= _STRAY_S and pick.time_s not in seen_s
            ]
            chosen |= {pick.sample: pick for pick in close[:1]}
    if sightings_s and not chosen:  # it is the only frame there
        place = min(range(len(timeline.times)), key=lambda place: abs(timeline.times[place] - sightings_s[0]))
        return [timeline.pick(place)]
    picks = sorted(chosen.values())
    return picks if not picks or limit.affords(picks) else limit.nearest(picks)


def _added(picks: list[Pick], more: Iterable[Pick], config: SamplingConfig, limit: CostLimit) -> list[Pick]:
    """The picks and as many more, the first of them first, as the limits allow: all, or a half, a quarter and so on."""
    taken = {pick.time_s for pick in picks}
    fresh = [pick for pick in more if pick.time_s not in taken][: max(config.max_frames - len(picks), 0)]
    while fresh:
        merged = _merged(picks, fresh)
        if limit.affords(merged):
            return merged
        del fresh[len(fresh) // 2 :]
    return picks


def _merged(picks: Sequence[Pick], more: Sequence[Pick]) -> list[Pick]:
    return sorted({pick.time_s: pick for pick in (*more, *picks)}.values())
