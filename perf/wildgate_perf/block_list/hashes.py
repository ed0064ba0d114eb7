"""The server's search for near hashes among millions of random and near-random ones."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from wildgate_perf.loops import percentile
from wildgate_perf.server_parts import HASH_BYTES, Codes, NearHashes

__all__ = ["flipped", "searched"]

_DISTANCE, _REGIONAL_DISTANCE = 31, 45  # bits, of the shipped policy
_FULL, _REGIONS = 16, 136  # asked about at once: the frames of a video, and their regions
_ROUNDS = 100
_FLIPPED = (64, 101)  # bits in which a near-random hash differs from a known one: nearer than chance, not near
_ADDED_AT_ONCE = 500_000


def searched(sizes: Sequence[int]) -> dict[str, Any]:
    """For each size of a list: what it takes to build and in memory, what a search takes, and what it finds.

    Half of a list is random; the rest are near-random: 1,000 hashes with a quarter to two fifths of their bits changed.
    `found` is the share of hashes in it that are found by what differs in 31 bits, `by_chance` how many pairs are near
    though they have nothing to do with each other. One in four that are asked about is such a changed hash.
    """
    draw = np.random.default_rng(7)
    known = draw.integers(0, 256, (1000, HASH_BYTES), np.uint8)
    figures = {}
    for size in sorted(sizes):
        hashes, began, spent = NearHashes(), time.perf_counter(), time.process_time()
        for first in range(0, size, _ADDED_AT_ONCE):
            count = min(_ADDED_AT_ONCE, size - first)
            random = draw.integers(0, 256, (count // 2, HASH_BYTES), np.uint8)
            near = flipped(known[draw.integers(0, len(known), count - len(random))], _FLIPPED, draw)
            if not first:
                listed = random[:1000].copy()
            hashes.add(np.concatenate([random, near]), np.arange(first, first + count))
        hashes.merge()
        built_s, built_cpu_s = time.perf_counter() - began, time.process_time() - spent
        answers = hashes.search(flipped(listed, (_DISTANCE, _DISTANCE + 1), draw), _DISTANCE)
        right = answers.queries == answers.numbers
        figures[str(size)] = {
            "built_s": built_s,
            "built_cpu_s": built_cpu_s,
            "bytes": hashes.size_bytes,
            "full_ms": _times(hashes, _FULL, _DISTANCE, known, draw),
            "regions_ms": _times(hashes, _REGIONS, _REGIONAL_DISTANCE, known, draw),
            "found": len(np.unique(answers.queries[right])) / len(listed),
            "by_chance": int((~right).sum()),
        }
    return figures


def _times(hashes: NearHashes, count: int, distance: int, known: Codes, draw: np.random.Generator) -> dict[str, float]:
    """Of one search, median and 99th percentile, by processor time and by the clock."""
    spent, waited = [], []
    for _ in range(_ROUNDS):
        asked = draw.integers(0, 256, (count, HASH_BYTES), np.uint8)
        asked[::4] = flipped(known[draw.integers(0, len(known), len(asked[::4]))], _FLIPPED, draw)
        began, busy = time.perf_counter(), time.thread_time()
        hashes.search(asked, distance)
        spent.append(1e3 * (time.thread_time() - busy))
        waited.append(1e3 * (time.perf_counter() - began))
    kinds = {"cpu": spent, "wall": waited}
    return {f"{kind}_p{at}": percentile(times, at / 100) for kind, times in kinds.items() for at in (50, 99)}


def flipped(codes: Codes, bits: tuple[int, int], draw: np.random.Generator) -> Codes:
    """Each with from so many to less than so many of its bits changed."""
    places = np.argsort(draw.random((len(codes), 8 * HASH_BYTES), np.float32), axis=1)
    changed = places < draw.integers(*bits, (len(codes), 1))
    return np.packbits(np.unpackbits(codes, axis=1) ^ changed, axis=1)
