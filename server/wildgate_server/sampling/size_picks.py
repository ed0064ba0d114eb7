"""New pictures between keyframes, told by what they cost: a frame that little of the one before serves for is large.

An uploader decides where keyframes lie, and so what is looked at where nothing else is: a shot may begin behind one
keyframe and end before the next. But its first picture takes nearly as many bytes as a keyframe, and the index tells
all sizes. So each stretch from a new picture to the next one, or to the next keyframe, where nobody can tell, is to
have a looked-at frame.

Sizes are held against the upper quartile of the frames before or after them, whichever is smaller, which a few large
ones do not move. Of the frames around, only those count that come later than all before them in decode order, for
B-frames are small. The thresholds lie between what encoders write at a cut and without one: cuts take 3 to 7 times the
quartile or, where all frames are costly, 1.3 times it; noise and motion up to 1.15 times, and twice it where the bit
rate is constant and low. So small rises count only while they are few.

VP8, VP9 and AV1 refresh their references with frames as large as a cut. What tells these from cuts is that they are
coded more finely than those around them: where quantisers are known, as in VP9, such frames do not count, and smaller
rises do. As a shot may begin with such a frame, what is before a new picture is looked at, too. Where they are not
known, large frames of VP9 and AV1 that come at one distance from each other do not count. VP8 refreshes at any
distance, so that there sizes tell nothing. With other codecs large frames are cuts, among which a shot may hide.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, compress, groupby, pairwise, repeat

from wildgate_server.media.sample import Sample
from wildgate_server.sampling.timeline import Pick, Timeline

__all__ = ["Sizes"]

_AROUND = 20  # frames before, and after, that one is held against
_NEAR = 12  # and whose quantisers
_SMALL, _STANDS_OUT = 0.15, 3.0  # of a keyframe, of the quartile around it: a new picture, if such are few
_TINY, _TOWERS = 0.08, 4.5  # likewise
_LARGE, _RISES = 0.3, 2.5
_AS_KEYFRAME, _RISES_FROM_MUCH = 1.0, 1.25  # likewise if such are few
_FEW_PER_S = 0.34
_UNTELLING = 1.2  # of a keyframe: where most frames are this large, sizes tell nothing
_TOGETHER_S = 0.35  # new pictures this close are one, as after a cut that an encoder takes several frames for
_SHORTEST_S = 0.2  # a stretch worth looking at
_COARSE = 0.65  # of a keyframe
_REACH = 6  # of such distances
_RISES_ALONE = 4.5  # what stands out beside such habits
_BURST_S, _BURSTS = 0.4, 4.0  # how long, and by how much most frames stand out of the video's
_FEWEST = 4  # frames on either side
_FINER = 0.88  # of the steps around it
_SPIKES, _RISES_UNREFINED = 1.4, 1.8  # of what frames beside it hold, of the quartile around it, if such are few
_REFRESHING = frozenset({"vp9", "av1"})


@dataclass(frozen=True, slots=True)
class _NewPicture:
    """Pictures that are new, so close to each other that they count as one: of the last, its place in decode order.

    `rise` is by how much the first stands out.
    """

    first_s: float
    last_s: float
    sample: int
    rise: float


class Sizes:
    """What the packet sizes of a video in `codec` (FFmpeg's name) tell, with the quantisers of packets by their places,
    where these are known."""

    def __init__(
        self,
        samples: Sequence[Sample],
        timeline: Timeline,
        codec: str = "",
        quantiser: Callable[[int], float | None] | None = None,
    ) -> None:
        self._timeline = timeline
        times, is_keyframe, _, sizes = zip(*samples, strict=True)
        self._times: Sequence[float] = times
        self._sizes: Sequence[int] = sizes
        self._codec = codec
        self._key_times = sorted(compress(times, is_keyframe))
        self._keyframes = [at for at, is_key in enumerate(is_keyframe) if is_key]
        key_sizes = sorted(compress(sizes, is_keyframe))
        self._keyframe = key_sizes[len(key_sizes) // 2] if key_sizes else 0
        self._inter = [at for at, is_key in enumerate(is_keyframe) if not is_key]
        latest = accumulate(times, max)
        facts = zip(times, latest, is_keyframe, strict=True)
        self._ahead = [at for at, (time_s, last_s, is_key) in enumerate(facts) if time_s == last_s and not is_key]
        self._ahead_sizes = [sizes[at] for at in self._ahead]
        steps = [quantiser(at) for at in self._ahead] if quantiser else []
        self._steps = [step for step in steps if step is not None] if None not in steps else []
        # What frames hold: bytes, or what these would be at one quantiser.
        self._held = [size * step for size, step in zip(self._ahead_sizes, self._steps or repeat(1.0), strict=False)]
        self._usual = sorted(self._ahead_sizes)[len(self._ahead) // 2] if self._ahead else 0
        self._few = 1 + _FEW_PER_S * timeline.duration_s
        self._new = self._new_pictures()

    @property
    def tell(self) -> bool:
        """Whether a shot would stand out: not in VP8, not where most frames are larger than keyframes, nor among many
        cuts."""
        if self._keyframe and self._usual >= _UNTELLING * self._keyframe:
            return False
        return self._codec != "vp8" and len(self._new) <= self._few

    def unseen(self, picks: Sequence[Pick]) -> list[Pick]:
        """A frame for each new picture that no pick shows before the next one, those that stand out most first.

        None where these are too many for that.
        """
        if len(self._new) > self._few:
            return []
        looked_at_s = [pick.time_s for pick in picks]
        unseen: list[tuple[float, Pick]] = []
        before: _NewPicture | None = None
        for picture, following in zip(self._new, [*self._new[1:], None], strict=False):
            end_s = following.first_s if following else self._timeline.times[-1]
            key = bisect_left(self._key_times, picture.last_s)
            end_s = min([end_s, *self._key_times[key : key + 1]])
            next_look = bisect_left(looked_at_s, picture.last_s)
            is_seen = next_look < len(looked_at_s) and looked_at_s[next_look] < end_s
            place = self._timeline.place_of(picture.sample)
            if not is_seen and place is not None and end_s - picture.first_s >= _SHORTEST_S:
                unseen.append((-picture.rise, self._timeline.pick(place)))
            unseen += [(-picture.rise, pick) for pick in self._before_coarse(picture)]
            unseen += [(-picture.rise, pick) for pick in self._before_hidden(picture, before)]
            before = picture
        return [pick for _, pick in sorted(unseen)]

    def _before_coarse(self, picture: _NewPicture) -> list[Pick]:
        """A frame before the keyframe of a new picture where that keyframe is coarse: what led to it was, too.

        So contraband comes and goes without a costly frame; what is costly is the first picture that is not coarse.
        """
        key = bisect_left(self._keyframes, picture.sample) - 1
        if key < 1 or self._sizes[self._keyframes[key]] > _COARSE * self._keyframe or picture.rise < _RISES:
            return []
        start_s, end_s = (self._times[self._keyframes[at]] for at in (key - 1, key))
        return [self._timeline.pick(at) for at in self._timeline.near(end_s - (end_s - start_s) / 4, end_s)[:1]]

    def _before_hidden(self, picture: _NewPicture, before: _NewPicture | None) -> list[Pick]:
        """The frame before a new picture, where what it ends may have begun with a frame that passes for a refresh."""
        place = self._timeline.place_of(picture.sample)
        if not self._steps or not place:
            return []
        pick = self._timeline.pick(place - 1)
        begins_s = self._times[pick.keyframe]
        return [pick] if pick.time_s > begins_s and (before is None or before.first_s < begins_s) else []

    def _new_pictures(self) -> list[_NewPicture]:
        """In the order in which they are shown."""
        found: list[_NewPicture] = []
        weak: list[_NewPicture] = []
        for at in self._candidates():
            number = bisect_left(self._ahead, at)
            before = self._ahead_sizes[max(0, number - _AROUND) : number]
            after = self._ahead_sizes[number + 1 : number + 1 + _AROUND]
            rise = self._sizes[at] / max(min(_quartile(before), _quartile(after)), 1)
            share = self._sizes[at] / max(self._keyframe, 1)
            picture = _NewPicture(self._times[at], self._times[at], at, rise)
            if self._is_refined(number):
                continue
            if share >= _LARGE and rise >= _RISES:
                found.append(picture)
            elif rise >= (_STANDS_OUT if share >= _SMALL else _TOWERS) or (
                share >= _AS_KEYFRAME and rise >= _RISES_FROM_MUCH and not self._steps
            ):
                weak.append(picture)
        weak += self._spikes()
        if self._codec in _REFRESHING and not self._steps:
            found = self._unwonted(found)
        found += [picture for few in (weak, self._bursts()) if len(few) <= self._few for picture in few]
        return _joined(sorted(found, key=lambda picture: picture.first_s))

    def _is_refined(self, number: int) -> bool:
        """Whether a frame, by its number among those ahead, is coded more finely than most large ones around it."""
        if not self._steps:
            return False
        around = range(max(number - _NEAR, 0), min(number + 1 + _NEAR, len(self._ahead)))
        least = sorted(self._ahead_sizes[each] for each in around)[len(around) // 2]
        steps = sorted(self._steps[each] for each in around if self._ahead_sizes[each] >= least)
        return self._steps[number] < _FINER * steps[len(steps) // 2]

    def _spikes(self) -> list[_NewPicture]:
        """Frames that hold much more than those around them, judging by sizes times the steps of quantisers."""
        held = self._held if self._steps else []
        spikes: list[_NewPicture] = []
        for number in range(_FEWEST, len(held) - _FEWEST):
            before, after = held[max(number - _AROUND, 0) : number], held[number + 1 : number + 1 + _AROUND]
            if held[number] < _SPIKES * max(*before[-2:], *after[:2]) or self._is_refined(number):
                continue
            rise = held[number] / max(min(_quartile(before), _quartile(after)), 1)
            if rise >= _RISES_UNREFINED:
                at = self._ahead[number]
                spikes.append(_NewPicture(self._times[at], self._times[at], at, rise))
        return spikes

    def _bursts(self) -> list[_NewPicture]:
        """The middle of each stretch of frames that mostly hold much more than those of the video, as fades do."""
        held, width = self._held, max(round(_BURST_S * len(self._held) / max(self._timeline.duration_s, 1)), _FEWEST)
        usual = sorted(held)[len(held) // 2] if held else 0
        medians = [sorted(held[at : at + width])[width // 2] for at in range(len(held) - width + 1)]
        bursts: list[_NewPicture] = []
        for is_burst, run in groupby(range(len(medians)), key=lambda at: medians[at] >= _BURSTS * max(usual, 1)):
            if is_burst:
                places = [*run]
                at = self._ahead[(places[0] + places[-1] + width) // 2]
                rise = max(medians[each] for each in places) / max(usual, 1)
                bursts.append(_NewPicture(self._times[at], self._times[at], at, rise))
        return _joined(bursts)

    def _unwonted(self, pictures: Sequence[_NewPicture]) -> list[_NewPicture]:
        """Those that do not come as far behind another one, or a keyframe, as they mostly do."""
        places = sorted([*self._keyframes, *(picture.sample for picture in pictures)])
        distances = Counter(after - before for before, after in pairwise(places))
        usual, times = distances.most_common(1)[0] if distances else (0, 0)
        if times < 3:
            return [*pictures]
        taken = {*places}
        return [
            picture
            for picture in pictures
            if picture.rise >= _RISES_ALONE
            and taken.isdisjoint(range(picture.sample - usual, picture.sample - _REACH * usual, -usual))
        ]

    def _candidates(self) -> list[int]:
        """The few that are large enough to be held against those around them."""
        floor = max(_TINY * self._keyframe, _RISES_FROM_MUCH * self._usual, 1)
        return [at for at in self._inter if self._sizes[at] >= floor]


def _quartile(sizes: Sequence[float]) -> float:
    return sorted(sizes)[len(sizes) * 3 // 4] if sizes else 1 << 62


def _joined(pictures: Sequence[_NewPicture]) -> list[_NewPicture]:
    joined: list[_NewPicture] = []
    for picture in pictures:
        if joined and picture.first_s - joined[-1].first_s < _TOGETHER_S:
            joined[-1] = replace(joined[-1], last_s=picture.last_s, sample=picture.sample)
        else:
            joined.append(picture)
    return joined
