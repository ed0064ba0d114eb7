"""How long something is shown, as far as the looked-at frames prove it.

A frame proves the time for which it is shown, until the next coded one; two neighbouring looked-at frames that both
show it prove the time between them. So do two that are close, with others between them that do not: what comes back
that soon flickers, or the detector missed it once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["ShownFrame", "lasts", "seconds_seen", "undisputed"]

# To viewers, what is gone for less than this seems to stay; a detector, too, loses things in single frames.
_FLICKER_S = 0.5
# Frames within this many seconds of a sighting can dispute it. A second look has such frames; a first look seldom
# does, so that what cannot be looked at a second time counts.
_AROUND_S = 0.65
_ROUNDING_S = 1e-6  # presentation times are rationals rounded to floats


@dataclass(frozen=True, slots=True)
class ShownFrame:
    """A looked-at frame, shown from `time_s` on for `shown_s` seconds."""

    time_s: float
    shown_s: float = 0.0


def seconds_seen(frames: Sequence[ShownFrame], seen: Sequence[bool]) -> float:
    """How long something is shown, in seconds, by those `frames` (ascending) that are `seen` to show it."""
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
    """Whether something is shown for at least `seconds`."""
    return any(seen) and seconds_seen(frames, seen) >= seconds - _ROUNDING_S


def undisputed(frames: Sequence[ShownFrame], seen: Sequence[bool], seconds: float) -> bool:
    """Whether every frame looked at around one of the sightings shows it, where these cannot prove `seconds`.

    That is so in a video of a single frame, in a shorter one, and where nothing else could be looked at.
    """
    return any(_undisputed_at(at, frames, seen, seconds) for at, here in enumerate(seen) if here)


def _undisputed_at(at: int, frames: Sequence[ShownFrame], seen: Sequence[bool], seconds: float) -> bool:
    low_s, high_s = frames[at].time_s - _AROUND_S - _ROUNDING_S, frames[at].time_s + _AROUND_S + _ROUNDING_S
    around = [(frame, here) for frame, here in zip(frames, seen, strict=True) if low_s <= frame.time_s <= high_s]
    nearby, seen_there = zip(*around, strict=True)
    possible_s = seconds_seen(nearby, [True] * len(nearby))
    return possible_s < seconds - _ROUNDING_S and seconds_seen(nearby, seen_there) >= possible_s - _ROUNDING_S
