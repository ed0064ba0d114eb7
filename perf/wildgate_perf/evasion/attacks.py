"""What is tried, as data. The first two are no attacks: what anybody uploads, and contraband that nobody hides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from wildgate_perf.evasion.drafts import Draft, Form, Shape, cross_faded, cut, decoyed, faded, flashed
from wildgate_perf.evasion.encoding import ENCODERS, encoded
from wildgate_perf.evasion.tampering import (
    beside_harmless,
    cheaply_coded,
    joined,
    keyframes_only,
    refreshed,
    shown_first,
    with_costly_keyframes,
    with_costly_rest,
    without_clock,
)

__all__ = ["ATTACKS", "IN_PLAIN_SIGHT", "ORDINARY", "Attack", "Attempt", "attempts", "harmless_twins", "resized"]

_H26X = ("libx264", "libx265")
_SOME = (*_H26X, "libvpx-vp9")
_CONTAINERS = ("libx264", "libvpx", "libvpx-vp9")
_PLAIN_MP4 = ("libx264", "mpeg4")
_FORM = Form()


@dataclass(frozen=True)
class Attack:
    """A way to show contraband: for each length in `shown_s`, each encoder, and so many seeds.

    `make` turns a draft into the file.
    """

    name: str
    what: str
    shown_s: tuple[float, ...] = (1, 2, 4)
    encoders: tuple[str, ...] = _SOME
    seeds: int = 2
    shape: Shape = cut
    form: Form = _FORM
    make: Callable[[Draft], bytes] = encoded


@dataclass(frozen=True)
class Attempt:
    """One video: an attack, its length, encoder and seed. A `harmless` one is made alike, without contraband."""

    attack: Attack
    shown_s: float
    encoder: str
    seed: int
    harmless: bool = False

    @property
    def name(self) -> str:
        """A file name, without its ending, that no other attempt has."""
        shown = "harmless" if self.harmless else f"{self.shown_s:g}s"
        width, height = self.attack.form.size
        return f"{self.attack.name}-{width}x{height}-{shown}-{self.encoder}-{self.seed}"

    @property
    def frames_shown(self) -> int:
        """In how many frames the contraband is to be seen."""
        return 0 if self.harmless else round(self.shown_s * self.attack.form.fps)


ORDINARY = Attack("ordinary", "harmless, with a cut every 5 s", (0,), ENCODERS, 4, form=Form(cut_every_s=5))
IN_PLAIN_SIGHT = Attack("in_plain_sight", "contraband all through", (12,), ENCODERS)

ATTACKS = (
    Attack("between_looks", "a shot between the looked-at frames", (0.5, 1, 2, 4), ENCODERS, 3),
    Attack("keyframe_decoy", "contraband in all frames but keyframes", (2, 4, 10), (*_SOME, "mpeg4"), shape=decoyed),
    Attack("slow_fade", "fades in and out over 2 s each", (2, 4), seeds=3, shape=faded),
    Attack("flashes", "every second frame, no keyframe", encoders=(*_SOME, "mpeg4"), shape=flashed),
    Attack(
        "cheap_entry", "crossfade over 1 s, coded with few bits", (1, 2, 4), _H26X, 3, cross_faded, make=cheaply_coded
    ),
    Attack("many_cuts", "a shot among cuts twice a second", form=Form(cut_every_s=0.5)),
    Attack(
        "single_keyframe",
        "a shot in 60 s with one keyframe",
        encoders=_CONTAINERS,
        form=Form(60, 30, 60),
    ),
    Attack("padded_rest", "all frames but keyframes made costly", encoders=_H26X, make=with_costly_rest),
    Attack("padded_keyframes", "keyframes made costly", encoders=_H26X, make=with_costly_keyframes),
    Attack("joined", "two files in one, the clock starts again", (2, 4), _CONTAINERS, make=joined),
    Attack("no_clock", "frames that take no time", (2, 4), _PLAIN_MP4, make=without_clock),
    Attack("second_track", "beside a harmless track", (4, 10), make=beside_harmless),
    Attack(
        "keyframe_flags",
        "all frames flagged as keyframes",
        (2, 4, 10),
        _PLAIN_MP4,
        form=Form(keyframe_every_s=12),
        make=keyframes_only,
    ),
    Attack("intra_refresh", "recovery points for keyframes", (2, 4), _H26X, make=refreshed),
    Attack("edit_list", "stored late, shown first", (1, 2, 4), _H26X, make=shown_first),
)


def resized(attack: Attack, size: tuple[int, int], most_seeds: int) -> Attack:
    """The attack in pictures of another size, width and height, with at most so many seeds."""
    return replace(attack, form=replace(attack.form, size=size), seeds=min(attack.seeds, most_seeds))


def attempts(attacks: tuple[Attack, ...], *, one_each: bool = False) -> list[Attempt]:
    """All videos of the attacks, or one of each attack and length, with another encoder each time."""
    return [
        Attempt(attack, shown_s, encoder, seed)
        for attack in attacks
        for place, shown_s in enumerate(attack.shown_s)
        for encoder in (attack.encoders[place % len(attack.encoders)],) * one_each or attack.encoders
        for seed in range(1 if one_each else attack.seeds)
    ]


def harmless_twins(attacks: tuple[Attack, ...]) -> list[Attempt]:
    """One video of each attack and encoder without contraband: what is refused or reviewed of it is a false alarm."""
    firsts = [a for a in attempts(attacks) if a.seed == 0 and a.shown_s == a.attack.shown_s[0]]
    return [replace(attempt, harmless=True) for attempt in firsts]
