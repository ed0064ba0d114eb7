"""What a seed decides: the same for the same seed, and foretold by nobody who lacks it."""

from __future__ import annotations

from blake3 import blake3

__all__ = ["draw", "is_drawn"]


def draw(seed: bytes, purpose: str, below: int) -> int:
    """A whole number from 0 up to `below`, each as likely to one in 2**40 or so; for each purpose another."""
    digest = blake3(purpose.encode() + b"\0" + seed, derive_key_context="wildgate 2026-11-28 random choice of frames")
    return int.from_bytes(digest.digest(8), "little") * below >> 64


def is_drawn(seed: bytes, share: float, purpose: str = "is drawn") -> bool:
    """Whether a video is among the `share` (0 to 1) that are drawn, by default for a random frame; none is unseeded."""
    return bool(seed) and draw(seed, purpose, 1 << 32) < share * (1 << 32)
