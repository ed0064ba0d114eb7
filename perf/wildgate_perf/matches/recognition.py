"""A list of confirmed videos and the decision about a new one, by the rules of the shipped policy.

Every hash is compared with every other (faiss, exact), so what is measured is fingerprints and rules; the server's own
index finds the same or a little less.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import faiss
import numpy as np
import numpy.typing as npt

from wildgate_perf.matches.looking import SeenVideo
from wildgate_perf.server_parts import HASH_BYTES, MIN_QUALITY, ConfirmedVideo, FrameFingerprint, Original, confirm

__all__ = ["DISTANCE", "Found", "How", "KnownVideos"]

DISTANCE, REGIONAL_DISTANCE = 31, 45  # bits
_FRAMES, _SHARE = 2, 0.2  # whose full pictures have to be near, for a video to be the known one without more ado
_REGIONS = 2  # of one frame that have to be near those of one frame of the original
_MOST_COMPARED = 8  # frames of a candidate that are compared by their keypoints

Hits = dict[int, dict[tuple[int, float], tuple[int, float]]]
"""By video and by track and time of a frame: the bits, and when in the video."""


class How(StrEnum):
    """By what a video is taken for a known one."""

    FULL = "full pictures"
    CONFIRMED = "keypoints"
    RESEMBLES = "resembles"
    """Named by the index and not confirmed: not blocked."""


@dataclass(frozen=True)
class Found:
    """A known video that another one is taken for, or only resembles."""

    video: str
    how: How
    points: int = 0


class KnownVideos:
    """Confirmed videos by name."""

    def __init__(self, videos: Mapping[str, ConfirmedVideo]) -> None:
        self._names = [*videos]
        self._originals: list[Original] = [video.original for video in videos.values()]
        self._full, self._regions = _Hashes(), _Hashes()
        for number, video in enumerate(videos.values()):
            for frame in video.fingerprint.frames:
                self._full.add(frame.hashes[:1], number, frame.time_s)
                self._regions.add(frame.hashes[1:], number, frame.time_s)
        for hashes in (self._full, self._regions):
            hashes.freeze()

    def find(self, seen: SeenVideo) -> list[Found]:
        """The known videos that a video is taken for, or resembles."""
        able = [frame for frame in seen.fingerprint.frames if frame.quality >= MIN_QUALITY]
        full, regional = self._near_full(able), self._near_regional(able)
        found = []
        for number in sorted({*full, *regional}):
            frames = full.get(number, {})
            if len(frames) >= _FRAMES and len(frames) / len(able) >= _SHARE:
                found.append(Found(self._names[number], How.FULL))
                continue
            both = {**regional.get(number, {}), **frames}
            nearest = sorted(both, key=lambda shown: both[shown])[:_MOST_COMPARED]
            candidates = seen.candidates([(*shown, both[shown][1]) for shown in nearest])
            best = confirm(candidates, self._originals[number])
            how = How.CONFIRMED if best.confirmed else How.RESEMBLES
            found.append(Found(self._names[number], how, best.points))
        return found

    def _near_full(self, frames: Sequence[FrameFingerprint]) -> Hits:
        hits: Hits = defaultdict(dict)
        for query, bits, number, time_s in self._full.near([frame.hashes[0] for frame in frames], DISTANCE):
            shown = frames[query].track, frames[query].time_s
            hits[number][shown] = min(hits[number].get(shown, (bits, time_s)), (bits, time_s))
        return hits

    def _near_regional(self, frames: Sequence[FrameFingerprint]) -> Hits:
        asked = [(frame, one) for frame in frames for one in frame.hashes[1:]]
        regions: dict[tuple[int, tuple[int, float], float], dict[int, int]] = defaultdict(dict)
        for query, bits, number, time_s in self._regions.near([one for _, one in asked], REGIONAL_DISTANCE):
            frame = asked[query][0]
            near = regions[number, (frame.track, frame.time_s), time_s]
            near[query] = min(bits, near.get(query, bits))
        hits: Hits = defaultdict(dict)
        for (number, shown, time_s), near in regions.items():
            if len(near) >= _REGIONS:
                best = (min(near.values()), time_s)
                hits[number][shown] = min(hits[number].get(shown, best), best)
        return hits


class _Hashes:
    """Hashes with the number of their video, and when in it."""

    def __init__(self) -> None:
        self._codes: list[bytes] = []
        self._of: list[tuple[int, float]] = []
        self._index = faiss.IndexBinaryFlat(8 * HASH_BYTES)

    def add(self, hashes: Sequence[bytes], number: int, time_s: float) -> None:
        self._codes += hashes
        self._of += [(number, time_s)] * len(hashes)

    def freeze(self) -> None:
        self._index.add(codes(self._codes))

    def near(self, hashes: Sequence[bytes], distance: int) -> list[tuple[int, int, int, float]]:
        """Place of the hash asked about, bits, video and time of each that is near."""
        if not hashes:
            return []
        limits, bits, places = self._index.range_search(codes(hashes), distance + 1)
        queries = np.repeat(np.arange(len(hashes)), np.diff(limits.astype(np.int64)))
        rows = zip(queries.tolist(), bits.tolist(), places.tolist(), strict=True)
        return [(query, int(apart), *self._of[place]) for query, apart, place in rows]


def codes(hashes: Sequence[bytes]) -> npt.NDArray[np.uint8]:
    """UINT8 [n, HASH_BYTES]."""
    return np.frombuffer(b"".join(hashes), np.uint8).reshape(-1, HASH_BYTES)
