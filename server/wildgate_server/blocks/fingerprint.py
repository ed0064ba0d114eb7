"""Fingerprints: what is left of a picture when it is scaled, re-encoded or slightly changed.

They are PDQ hashes (https://github.com/facebook/ThreatExchange/tree/main/pdq, "The TMK+PDQF Video-Hashing Algorithm and
the PDQ Image-Hashing Algorithm", 2019), which other platforms exchange, too. Two are compared by the number of bits in
which they differ.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = [
    "HASH_BYTES",
    "MIN_QUALITY",
    "FrameFingerprint",
    "VideoFingerprint",
    "distance",
    "mirrored",
    "read_fingerprint",
    "without_repeats",
]

HASH_BYTES = 32
"""PDQ, 256 bits, in the order in which PDQ's hexadecimal form is written."""

MIN_QUALITY = 50
"""A frame of less never matches: there is too little in it to tell it from others."""

_EVERY_SECOND_COLUMN = int.from_bytes(b"\x55" * HASH_BYTES)
_NEAR_EQUAL_BITS = 8  # two looks at one still picture are seldom further apart


@dataclass(frozen=True, slots=True)
class FrameFingerprint:
    """Of one looked-at frame; `quality` is PDQ's, 0 to 100.

    `hashes`, each of HASH_BYTES: the first is of the full picture without uniform borders, then come those of its
    regions, if any.
    """

    track: int
    time_s: float
    quality: int
    hashes: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class VideoFingerprint:
    """Of a whole video: its frames of all tracks, near-equal neighbours left out."""

    frames: tuple[FrameFingerprint, ...]
    duration_s: float


def read_fingerprint(
    hashes: npt.NDArray[np.uint8], qualities: npt.NDArray[np.int32], time_s: float, track: int = 0
) -> FrameFingerprint:
    """One place of FINGERPRINT, [K, 32], and FINGERPRINT_QUALITY, [K]; regions that are too plain are left out."""
    full, *regions = (one.tobytes() for one in hashes)
    quality, *of_regions = qualities.tolist()
    kept = (one for one, worth in zip(regions, of_regions, strict=True) if worth >= MIN_QUALITY)
    return FrameFingerprint(track, time_s, quality, (full, *kept))


def without_repeats(frames: Iterable[FrameFingerprint]) -> tuple[FrameFingerprint, ...]:
    """By track and time, without those that are nearly equal to the last one that was kept."""
    kept: list[FrameFingerprint] = []
    for frame in sorted(frames, key=lambda frame: (frame.track, frame.time_s)):
        last = kept[-1] if kept else None
        if last is None or last.track != frame.track or distance(last.hashes[0], frame.hashes[0]) > _NEAR_EQUAL_BITS:
            kept.append(frame)
    return tuple(kept)


def distance(one: bytes, other: bytes) -> int:
    """The bits in which two hashes differ."""
    return (int.from_bytes(one) ^ int.from_bytes(other)).bit_count()


def mirrored(one: bytes) -> bytes:
    """Nearly the hash of the picture mirrored left to right, without the picture.

    Mirroring changes the sign of every second column of the cosine transform, and a bit says whether a value lies above
    the median, which is close to 0: 12 bits from the real one in the median, 20 at most, for 42 frames of the samples.
    """
    return (int.from_bytes(one) ^ _EVERY_SECOND_COLUMN).to_bytes(HASH_BYTES)
