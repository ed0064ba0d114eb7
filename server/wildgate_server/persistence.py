"""For how long something is shown, as far as the looked-at frames vouch for it.

A frame vouches for the time that it is shown, until the next one is; two neighbouring looked-at frames for the time
between them, where both show it. So does a pair with others between them that do not, if it is close: what comes back
that soon flickers, or the detector missed it once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["ShownFrame", "lasts", "seconds_seen", "undisputed"]

# Viewers see what is gone for less than this as if it stayed; a detector, too, loses things in single frames.
_FLICKER_S = 0.5
# What is looked at within so many seconds of a sighting can dispute it. A second look has frames within; a first look
# seldom does, so that what cannot be looked at a second time counts.
_AROUND_S = 0.65
_ROUNDING_S = 1e-6  # presentation times are rationals rounded to floats


@dataclass(frozen=True, slots=True)
class ShownFrame:
    """A looked-at frame, shown from `time_s` on for `shown_s` seconds."""

    time_s: float
    shown_s: float = 0.0


def seconds_seen(frames: Sequence[ShownFrame], seen: Sequence[bool]) -> float:
    """For how long those `frames` (ascending) vouch that are `seen` to show it, in seconds."""
    total_s, until_s = 0.0, float("-inf")
    last: int | None = None
    for at, (frame, here) in enumerate(zip(frames, seen, strict=True)):
        if not here:
            continue
        start_s = frame.time_s
        if last is not None and (at - last == 1 or start_s - frames[last].time_s <= _FLICKER_S + _ROUNDING_S):
            start_s = frames[last].time_s
        end_s = frame.time_s + frame.shown_s
        total_s += max(end_s - max(start_s, until_s), 0.0)
        until_s, last = max(end_s, until_s), at
    return total_s


def lasts(frames: Sequence[ShownFrame], seen: Sequence[bool], seconds: float) -> bool:
    """Whether it is shown for at least `seconds`."""
    return any(seen) and seconds_seen(frames, seen) >= seconds - _ROUNDING_S


def undisputed(frames: Sequence[ShownFrame], seen: Sequence[bool], seconds: float) -> bool:
    """Whether all that was looked at around one of the sightings shows it, where that cannot vouch for `seconds`.

    So it is in a video of one frame or one that is shorter, and where nothing else could be looked at.
    """
    return any(_undisputed_at(at, frames, seen, seconds) for at, here in enumerate(seen) if here)


def _undisputed_at(at: int, frames: Sequence[ShownFrame], seen: Sequence[bool], seconds: float) -> bool:
    low_s, high_s = frames[at].time_s - _AROUND_S - _ROUNDING_S, frames[at].time_s + _AROUND_S + _ROUNDING_S
    around = [(frame, here) for frame, here in zip(frames, seen, strict=True) if low_s <= frame.time_s <= high_s]
    nearby, seen_there = zip(*around, strict=True)
    possible_s = seconds_seen(nearby, [True] * len(nearby))
    return possible_s < seconds - _ROUNDING_S and seconds_seen(nearby, seen_there) >= possible_s - _ROUNDING_S
