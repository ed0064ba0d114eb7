"""New pictures between keyframes, told by what they cost: a frame that little of the one before serves for is large.

An uploader decides where keyframes lie, and so what is looked at where nothing else is: a shot may begin behind one
keyframe and end before the next. But its first picture takes nearly as many bytes as a keyframe, and the index tells
all sizes. So each stretch from a new picture to the next one, or to the next keyframe, where nobody can tell, is to
have a looked-at frame. Only frames that come later than all before them in decode order are judged: B-frames are small.

Sizes are held against the upper quartile of the frames around them, which a few large ones do not move, and the
thresholds are between what x264, x265, libvpx and phones write without a cut and what they write at one: cuts take 3 to
7 times the quartile, or, where all frames are costly, 1.3 times it; noise and motion up to 1.15 times, VP9's and AV1's
hidden reference frames 5 times but regularly, so that those count only while they are few.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from wildgate_server.media.sample import Sample
from wildgate_server.sampling.timeline import Pick, Timeline

__all__ = ["Sizes"]

_AROUND = 20  # frames on either side that one is held against
_SMALL, _STANDS_OUT = 0.08, 3.0  # of a keyframe, of the quartile around it: a new picture, if such are few
_LARGE, _RISES = 0.3, 2.5
_AS_KEYFRAME, _RISES_FROM_MUCH = 0.9, 1.25
_FEW_PER_S = 0.34
_UNTELLING = 1.2  # of a keyframe: where most frames are this large, sizes tell nothing
_TOGETHER_S = 0.35  # new pictures this close are one, as after a cut that an encoder takes several frames for
_SHORTEST_S = 0.2  # a stretch worth looking at


@dataclass(frozen=True, slots=True)
class _NewPicture:
    sample: int
    time_s: float
    rise: float  # by how much it stands out


class Sizes:
    """What the packet sizes of a video tell."""

    def __init__(self, samples: Sequence[Sample], timeline: Timeline) -> None:
        self._timeline = timeline
        times, is_keyframe, _, sizes = zip(*samples, strict=True)
        latest = accumulate(times, max)
        key_sizes = sorted(size for size, is_key in zip(sizes, is_keyframe, strict=True) if is_key)
        self._key_times = sorted(time_s for time_s, is_key in zip(times, is_keyframe, strict=True) if is_key)
        self._keyframe = key_sizes[len(key_sizes) // 2] if key_sizes else 0
        self._ahead = [  # what is judged: its place in decode order
            at
            for at, (time_s, last_s, is_key) in enumerate(zip(times, latest, is_keyframe, strict=True))
            if time_s == last_s and not is_key
        ]
        self._sizes = [sizes[at] for at in self._ahead]
        ordered = sorted(self._sizes)
        self._usual = ordered[len(ordered) // 2] if ordered else 0
        self._times: Sequence[float] = times

    @property
    def tell(self) -> bool:
        """Whether a new picture would stand out: false where most frames are as large as keyframes."""
        return not self._keyframe or self._usual < _UNTELLING * self._keyframe

    def unseen(self, picks: Sequence[Pick]) -> list[Pick]:
        """The first frames of the stretches that no pick lies in, those that stand out most first."""
        found = self._new_pictures()
        looked_at_s = [pick.time_s for pick in picks]
        unseen: list[tuple[float, Pick]] = []
        for number, picture in enumerate(found):
            end_s = found[number + 1].time_s if number + 1 < len(found) else self._timeline.times[-1]
            key = bisect_left(self._key_times, picture.time_s)
            end_s = min([end_s, *self._key_times[key : key + 1]])
            next_look = bisect_left(looked_at_s, picture.time_s)
            is_seen = next_look < len(looked_at_s) and looked_at_s[next_look] < end_s
            place = self._timeline.place_of(picture.sample)
            if not is_seen and place is not None and end_s - picture.time_s >= _SHORTEST_S:
                unseen.append((-picture.rise, self._timeline.pick(place)))
        return [pick for _, pick in sorted(unseen)]

    def _new_pictures(self) -> list[_NewPicture]:
        """In the order in which they are shown."""
        found: list[_NewPicture] = []
        weak: list[_NewPicture] = []
        for number in self._candidates():
            size = self._sizes[number]
            around = self._sizes[max(0, number - _AROUND) : number] + self._sizes[number + 1 : number + 1 + _AROUND]
            around.sort()
            quartile = max(around[len(around) * 3 // 4] if around else 0, 1)
            rise, share = size / quartile, size / max(self._keyframe, 1)
            picture = _NewPicture(self._ahead[number], self._times[self._ahead[number]], rise)
            if (share >= _LARGE and rise >= _RISES) or (share >= _AS_KEYFRAME and rise >= _RISES_FROM_MUCH):
                found.append(picture)
            elif rise >= _STANDS_OUT:
                weak.append(picture)
        if len(weak) <= 1 + _FEW_PER_S * self._timeline.duration_s:
            found += weak
        found.sort(key=lambda picture: picture.time_s)
        apart = found[:1]
        for picture in found[1:]:
            if picture.time_s - apart[-1].time_s >= _TOGETHER_S:
                apart.append(picture)
        return apart

    def _candidates(self) -> list[int]:
        """Those that are larger than one of the three before: soon told, and few are left to be held against more."""
        floor = max(_SMALL * self._keyframe, _RISES_FROM_MUCH * self._usual, 1)
        before = [self._sizes[:1] * lag + self._sizes for lag in (1, 2, 3)]
        return [
            number
            for number, (size, *others) in enumerate(zip(self._sizes, *before, strict=False))
            if size >= floor and (size >= _RISES_FROM_MUCH * min(others) or number == 0)
        ]
