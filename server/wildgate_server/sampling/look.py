"""What is asked of the sampler beyond looking evenly."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

__all__ = ["PLAIN_LOOK", "Look", "Places", "Scrutiny"]

Places = tuple[tuple[int, float], ...]
"""Frames, each by its track's number and its time in seconds."""


class Scrutiny(IntEnum):
    """How closely a video is to be looked at; a caller asks for more where it distrusts an account or an upload."""

    NORMAL = 1
    HIGH = 2


@dataclass(frozen=True, slots=True)
class Look:
    """How to look at one video.

    `seed` (32 bytes) is keyed by a secret and the content: what the random choice of frames is drawn from; empty where
    none is to be drawn. `near` are sightings, each a track's number and a time in seconds: only frames around these
    are looked at. `sound_keyframes`, alike, are the only keyframes to be believed, all others having failed to decode
    by themselves; the file is then read whole, and they are not looked at once more.
    """

    scrutiny: Scrutiny = Scrutiny.NORMAL
    seed: bytes = b""
    near: Places = ()
    sound_keyframes: Places | None = None


PLAIN_LOOK = Look()
