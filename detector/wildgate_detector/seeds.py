"""Random streams that cannot meet: each purpose draws from a family of its own."""

from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """What a random stream is for. The value is part of the seed, so two purposes never share a stream."""

    TRAIN = 1
    EVALUATE = 2
    SAMPLES = 3
    HELD_OUT = 4
    CALIBRATE = 5
    QUANTISE = 6


def stream(purpose: Purpose, seed: int, index: int = 0) -> np.random.Generator:
    """Return the generator of item `index` of the run `seed` made for `purpose`.

    The purpose, seed and index form a `SeedSequence` spawn key, which NumPy guarantees to give independent
    streams: evaluation placements are disjoint from training placements by construction.

    Raises:
        ValueError: `seed` or `index` is negative.
    """
    if seed < 0 or index < 0:
        raise ValueError(f"seed and index must not be negative, got {seed} and {index}")
    return np.random.default_rng(np.random.SeedSequence(20, spawn_key=(int(purpose), seed, index)))
