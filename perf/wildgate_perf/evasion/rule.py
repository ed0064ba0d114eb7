"""Which frames the project's own sampler looks at, and what they show: what the adversary knows, but for the secret."""

from __future__ import annotations

import hmac
import io
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import av

from wildgate_perf.evasion.pictures import luma_of, shows_contraband
from wildgate_perf.server_parts import ClipWindow, Look, SampledVideo, Sampler, Scrutiny

__all__ = ["LookedAt", "Rule"]


@dataclass(frozen=True)
class LookedAt:
    """A looked-at frame, by what coverage says of it, and whether it shows contraband."""

    time_s: float
    contraband: bool


class Rule:
    """The sampler with the default settings; raises what that raises.

    With a `secret` it also draws frames at random, as a server does. Without, it is all that an adversary can run.
    """

    def __init__(self, repository: Path, secret: bytes = b"") -> None:
        self._sampler = Sampler(repository)
        self._secret = secret

    def looks(self, content: bytes, scrutiny: Scrutiny = Scrutiny.NORMAL) -> list[LookedAt]:
        """The frames of a media file that are looked at, of all tracks, decoded to see what they show."""
        return [look for window in self._sampled(content, scrutiny).windows for look in _looked_at(window)]

    def times_s(self, content: bytes, scrutiny: Scrutiny) -> list[float]:
        """Their times alone."""
        return [time_s for window in self._sampled(content, scrutiny).windows for time_s in window.times_s]

    def _sampled(self, content: bytes, scrutiny: Scrutiny) -> SampledVideo:
        seed = hmac.digest(self._secret, content, "sha256") if self._secret else b""
        return self._sampler.sample(content, Look(scrutiny, seed))


def _looked_at(window: ClipWindow) -> list[LookedAt]:
    frames: list[av.VideoFrame] = []
    with suppress(av.FFmpegError), av.open(io.BytesIO(window.clip), "r") as clip:
        clip.streams.video[0].thread_count = 1
        frames.extend(clip.decode(video=0))
    frames.sort(key=lambda frame: frame.pts or 0)
    return [
        LookedAt(time_s, place < len(frames) and _shows_contraband(frames[place]))
        for place, time_s in zip(window.frame_index, window.times_s, strict=False)
    ]


def _shows_contraband(frame: av.VideoFrame) -> bool:
    return not frame.is_corrupt and shows_contraband(luma_of(frame))
