"""The hashes of the list of blocks, and of which entry and frame each is."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wildgate_server.blocks.fingerprint import HASH_BYTES
from wildgate_server.blocks.near_hashes import Codes, NearHashes, Neighbours, Numbers

__all__ = ["COMPACT_FROM", "GONE", "ListedHashes", "Near", "copied"]

GONE = -1
"""The place of a record that a later one replaced."""
COMPACT_FROM = 1000
"""Less is not worth tidying up."""


@dataclass(frozen=True, slots=True)
class Near:
    """Neighbours of hashes that were asked about: `entries[i]` and `frames[i]`, the entry's number and the frame in it.

    Those of the same place in `found`.
    """

    found: Neighbours
    entries: Numbers
    frames: Numbers

    def of(self, entries: Numbers) -> Near:
        """Those of some entries alone."""
        kept = np.isin(self.entries, entries)
        found = Neighbours(self.found.queries[kept], self.found.numbers[kept], self.found.distances[kept])
        return Near(found, self.entries[kept], self.frames[kept])


class ListedHashes:
    """Hashes of one kind, and for each the number of its entry and its frame."""

    def __init__(self) -> None:
        self.near = NearHashes()
        self.entries, self.frames = array("q"), array("l")  # by the hash's number
        self.retired = 0  # of entries that are gone, ever
        self._dropped = 0

    def add(self, hashes: Sequence[tuple[int, int, bytes]]) -> None:
        """Of each the number of its entry, its frame there, and the hash itself."""
        if not hashes:
            return
        first = len(self.entries)
        entries, frames, codes = zip(*hashes, strict=True)
        self.entries.extend(entries)
        self.frames.extend(frames)
        self.near.add(
            np.frombuffer(b"".join(codes), np.uint8).reshape(-1, HASH_BYTES), np.arange(first, first + len(codes))
        )

    def merge(self, places: array[int]) -> None:
        """Merges; drops the hashes of entries that are gone, by the `places` of all, where they are half of all."""
        before = len(self.near)
        if before <= COMPACT_FROM or 2 * (self.retired - self._dropped) <= before:
            self.near.merge()
            return
        entries = copied(self.entries)
        alive = copied(places)[entries] != GONE
        self.near.merge(alive)
        self._dropped = len(alive) - int(alive.sum())

    def search(self, codes: Codes, distance: int) -> Near:
        """Those that differ from these in at most so many bits; some may be of entries just gone."""
        found = self.near.search(codes, distance)
        entries = np.array([self.entries[number] for number in found.numbers.tolist()], np.int64)
        frames = np.array([self.frames[number] for number in found.numbers.tolist()], np.int64)
        return Near(found, entries, frames)


def copied(numbers: array[int]) -> Numbers:
    """What is in an array now, for numpy."""
    # By way of bytes: an array that lends numpy its memory cannot grow meanwhile.
    return np.frombuffer(numbers.tobytes(), np.int64)
