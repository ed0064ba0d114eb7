"""Near hashes, held against comparing all with all."""

from __future__ import annotations

import numpy as np
import pytest
from blocked_videos import disguised, random_hash

from wildgate_server.blocks.near_hashes import NearHashes


def near_by_brute_force(asked: np.ndarray, held: np.ndarray, distance: int) -> dict[tuple[int, int], int]:
    bits = (np.unpackbits(asked, axis=1)[:, None] != np.unpackbits(held, axis=1)[None]).sum(axis=2)
    return {(query, number): bits[query, number] for query, number in np.argwhere(bits <= distance).tolist()}


def near(index: NearHashes, asked: np.ndarray, distance: int) -> dict[tuple[int, int], int]:
    found = index.search(asked, distance)
    pairs = list(zip(found.queries.tolist(), found.numbers.tolist(), strict=True))
    assert len(pairs) == len(set(pairs)), "each once"
    return dict(zip(pairs, found.distances.tolist(), strict=True))


def clustered(random: np.random.Generator, count: int) -> np.ndarray:
    """Hashes with near ones of each: up to 45 bits apart."""
    centres = [random_hash(random) for _ in range(count // 10)]
    codes = [disguised(centres[at % len(centres)], int(random.integers(0, 46)), random) for at in range(count)]
    return np.frombuffer(b"".join(codes), np.uint8).reshape(-1, 32)


@pytest.mark.parametrize("added_at_once", [1, 7, 500, 5000])
def test_all_that_differ_in_up_to_31_bits_are_found_however_they_came(added_at_once: int) -> None:
    random = np.random.default_rng(added_at_once)
    held = clustered(random, 400 if added_at_once == 1 else 5000)
    index = NearHashes()
    for start in range(0, len(held), added_at_once):
        index.add(held[start : start + added_at_once], np.arange(start, min(start + added_at_once, len(held))))
        if start % 3 == 0:
            index.merge()
    assert len(index) == len(held)
    for distance in (0, 10, 31):
        assert near(index, held[:40], distance) == near_by_brute_force(held[:40], held, distance)


def test_large_segments_find_all_up_to_23_bits_and_nearly_all_up_to_31() -> None:
    random = np.random.default_rng(5)
    held = random.integers(0, 256, (300_000, 32), np.uint8)
    index = NearHashes()
    index.add(held, np.arange(len(held)))
    for bits, least in ((0, 300), (23, 300), (31, 285)):
        asked = np.frombuffer(b"".join(disguised(code.tobytes(), bits, random) for code in held[:300]), np.uint8)
        found = near(index, asked.reshape(-1, 32), bits)
        assert sum((at, at) in found for at in range(300)) >= least, bits


def test_what_is_not_alive_is_dropped_and_what_came_meanwhile_stays() -> None:
    random = np.random.default_rng(1)
    held = clustered(random, 4000)
    index = NearHashes()
    index.add(held[:3000], np.arange(3000))
    alive = np.arange(3000) % 2 == 0
    index.add(held[3000:], np.arange(3000, 4000))
    index.merge(alive)
    left = {number for _, number in near(index, held, 0)}
    assert left == {number for number in range(4000) if number >= 3000 or number % 2 == 0}


def test_without_hashes_nothing_is_near_and_one_hash_is_found() -> None:
    random = np.random.default_rng(2)
    index, held = NearHashes(), clustered(random, 10)
    assert not near(index, held, 31)
    index.merge()
    index.merge(np.zeros(0, bool))
    index.add(held[:1], np.array([7]))
    assert near(index, held[:1], 0) == {(0, 7): 0}
    assert not near(index, held[:0], 31)
    index.add(clustered(random, 2000), np.arange(2000))
    assert not near(index, held[:0], 31)
