"""Changes to bytes, drawn from a seed."""

from __future__ import annotations

import random
from collections.abc import Sequence

__all__ = ["mutated"]

_MOST_CHANGES = 8
_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 60_000_000)
_HEAD = 512  # where headers are, and half of the changes


def mutated(content: bytes, others: Sequence[bytes], seed: int) -> bytes:
    """`content` with one to eight changes; some take a piece of one of `others`."""
    rng = random.Random(seed)
    changed = bytearray(content)
    for _ in range(rng.randint(1, _MOST_CHANGES)):
        if not changed:
            break
        at = rng.randrange(min(len(changed), _HEAD) if rng.random() < 0.5 else len(changed))
        length = rng.choice((1, 2, 4, 8, 64, 512))
        match rng.randrange(8):
            case 0:
                changed[at] ^= 1 << rng.randrange(8)
            case 1:
                changed[at] = rng.randrange(256)
            case 2 | 3:
                size = rng.choice((1, 2, 4))
                number = rng.choice(_NUMBERS) & (1 << 8 * size) - 1
                changed[at : at + size] = number.to_bytes(size, rng.choice(("big", "little")))
            case 4:
                del changed[at : at + length]
            case 5:
                changed[at:at] = changed[at : at + length] * rng.choice((1, 1, 2, 50))
            case 6:
                other = rng.choice(others)
                start = rng.randrange(len(other))
                changed[at : at + length] = other[start : start + length]
            case 7:
                del changed[rng.choice((at, len(changed) - min(length, len(changed)))) :]
    return bytes(changed)
