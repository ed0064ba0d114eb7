"""Real hashes among millions of others: how many are near one by chance, and how long it takes to tell."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import faiss
import numpy as np

from wildgate_perf.matches.recognition import DISTANCE, codes
from wildgate_perf.server_parts import HASH_BYTES

__all__ = ["among_many"]

_ASKED = 200
_FLIPPED = (64, 101)  # bits in which the others are made to differ from a real hash: nearer than chance, not near


def among_many(hashes: Sequence[bytes], sizes: Sequence[int]) -> dict[str, Any]:
    """For each size of a list: how many `near` pairs there are between it and some of `hashes`, and the `ms` for one.

    Half of a list is random; the rest are real hashes of which a quarter to two fifths of the bits are flipped. The
    search is exact and on one thread: every hash is compared.
    """
    draw = np.random.default_rng(7)
    asked = codes([hashes[at] for at in draw.choice(len(hashes), min(_ASKED, len(hashes)), replace=False)])
    index, found = faiss.IndexBinaryFlat(8 * HASH_BYTES), {}
    faiss.omp_set_num_threads(1)
    for size in sorted(sizes):
        while index.ntotal < size:
            count = min(500_000, size - index.ntotal)
            index.add(draw.integers(0, 256, (count // 2, HASH_BYTES), np.uint8))
            index.add(_changed(codes(hashes), count - count // 2, draw))
        began = time.thread_time()
        limits, _, _ = index.range_search(asked, DISTANCE + 1)
        spent_ms = (time.thread_time() - began) * 1e3
        found[str(size)] = {"asked": len(asked), "near": int(limits[-1]), "ms": spent_ms / len(asked)}
    return found


def _changed(real: Any, count: int, draw: np.random.Generator) -> Any:
    """So many of `real` with bits flipped at random."""
    chosen = np.unpackbits(real[draw.integers(0, len(real), count)], axis=1)
    share = draw.integers(*_FLIPPED, (count, 1)) / chosen.shape[1]
    return np.packbits(chosen ^ (draw.random(chosen.shape, np.float32) < share), axis=1)
