"""Fingerprints: what is left of a picture when it is scaled, re-encoded or slightly changed.

They are PDQ hashes (https://github.com/facebook/ThreatExchange/tree/main/pdq, "The TMK+PDQF Video-Hashing Algorithm and
the PDQ Image-Hashing Algorithm", 2019), which other platforms exchange, too. Two are compared by the number of bits in
which they differ.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["HASH_BYTES", "MIN_QUALITY", "FrameFingerprint", "VideoFingerprint"]

HASH_BYTES = 32
"""PDQ, 256 bits, in the order in which PDQ's hexadecimal form is written."""

MIN_QUALITY = 50
"""A frame of less never matches: there is too little in it to tell it from others."""


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
