"""Finding PDQ hashes that differ in few bits, among millions: multi-index hashing.

Norouzi, Punjani, Fleet, "Fast Search in Hamming Space with Multi-Index Hashing", CVPR 2012: hashes are cut into parts;
two that are near agree, but for a bit, in one part at least, so only what shares such a part is compared in full. With
16 parts, hashes that differ in up to 31 bits are all found; with the 12 longer parts of large segments, up to 23 are
all found, and 98 % of those that differ in 31.

faiss has this, too (IndexBinaryMultiHash), at five times the memory and some ten times the time to build. Here what is
built is never changed, so that searches need no lock, and new hashes go into small segments that are merged aside.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from wildgate_server.blocks.fingerprint import HASH_BYTES

__all__ = ["Codes", "NearHashes", "Neighbours", "codes_of"]

Codes = npt.NDArray[np.uint8]
"""Hashes: UINT8 [N, HASH_BYTES]."""
Numbers = npt.NDArray[np.int64]

_SMALL = 1 << 17  # hashes from which on longer parts are faster
_TAIL = 1024  # hashes that are compared one by one before they become a segment
_MERGE_BELOW = 8  # a segment is merged with the one before it unless that is so many times as large


def codes_of(hashes: Iterable[bytes]) -> Codes:
    """Hashes in the shape in which they are searched."""
    return np.frombuffer(b"".join(hashes), np.uint8).reshape(-1, HASH_BYTES)


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Pairs of near hashes: place of the one asked about, number of the one found, bits that differ; INT64 [N]."""

    queries: Numbers
    numbers: Numbers
    distances: Numbers

    @classmethod
    def joined(cls, parts: Sequence[Neighbours]) -> Neighbours:
        """All of them, in order."""
        nothing = np.zeros(0, np.int64)
        columns = [(nothing, nothing, nothing), *((each.queries, each.numbers, each.distances) for each in parts)]
        return cls(*(np.concatenate(column) for column in zip(*columns, strict=True)))


class NearHashes:
    """Hashes by number, to be searched by any thread while one other adds to them."""

    def __init__(self) -> None:
        self._writing = Lock()
        # What searches read, one reference: segments, and the tail with its numbers and how many of it are used.
        self._state: _State = ((), *_empty_tail(), 0)

    def __len__(self) -> int:
        segments, _, _, used = self._state
        return used + sum(len(each.numbers) for each in segments)

    @property
    def size_bytes(self) -> int:
        """What all of it takes in memory."""
        segments, tail, numbers, _ = self._state
        return tail.nbytes + numbers.nbytes + sum(each.size_bytes for each in segments)

    def add(self, codes: Codes, numbers: Numbers) -> None:
        """Adds hashes; they are found as soon as this returns."""
        with self._writing:
            segments, tail, tail_numbers, used = self._state
            if used + len(codes) <= _TAIL:
                tail[used : used + len(codes)] = codes
                tail_numbers[used : used + len(codes)] = numbers
                self._state = segments, tail, tail_numbers, used + len(codes)
            else:  # and a new tail: searches under way go on in the one before
                fresh = _Segment(np.concatenate([tail[:used], codes]), np.concatenate([tail_numbers[:used], numbers]))
                self._state = ((*segments, fresh), *_empty_tail(), 0)

    def merge(self, alive: npt.NDArray[np.bool_] | None = None) -> None:
        """Merges segments, so that there are few; takes 3 s for a million, and holds nothing up.

        With `alive`, BOOL by number, all are merged, and hashes whose numbers are in it and not alive are dropped.
        """
        segments = self._state[0]
        sizes = [len(each.numbers) for each in segments]
        first = next((at for at in range(len(sizes) - 1) if sizes[at] < _MERGE_BELOW * sum(sizes[at + 1 :])), None)
        if alive is not None:
            first = 0
        if first is None or not segments:
            return
        codes = np.concatenate([each.codes for each in segments[first:]])
        numbers = np.concatenate([each.numbers for each in segments[first:]])
        if alive is not None:
            kept = (numbers >= len(alive)) | alive[np.minimum(numbers, len(alive) - 1)]
            codes, numbers = codes[kept], numbers[kept]
        merged = _Segment(codes, numbers)
        with self._writing:
            now, tail, tail_numbers, used = self._state
            self._state = (*segments[:first], merged, *now[len(segments) :]), tail, tail_numbers, used

    def search(self, codes: Codes, distance: int) -> Neighbours:
        """The hashes that differ from each of `codes` in at most `distance` bits."""
        segments, tail, tail_numbers, used = self._state
        found = [segment.search(codes, distance) for segment in segments]
        if used and len(codes):
            bits = _bits_that_differ(codes[:, None], tail[None, :used])
            queries, places = np.nonzero(bits <= distance)
            found.append(Neighbours(queries, tail_numbers[places], bits[queries, places]))
        return Neighbours.joined(found)


class _Segment:
    """Hashes sorted by each of their parts, one part after the other in `_order`.

    `_order[_starts[at] : _starts[at + 1]]` are the places of those that have a value in a part, `at` being that value
    and `_firsts[part]`.
    """

    def __init__(self, codes: Codes, numbers: Numbers) -> None:
        self.codes, self.numbers = codes, numbers
        self._bits, parts = (16, 16) if len(codes) <= _SMALL else (21, 12)
        values = 1 << self._bits
        self._masks = np.array([0, *(1 << bit for bit in range(self._bits))])
        self._firsts = np.arange(parts) * values
        self._order = np.empty(parts * len(codes), np.uint32)
        self._starts = np.zeros(parts * values + 1, np.uint32)
        for part in range(parts):
            of_part = self._values(codes, part)
            sortable = of_part.astype(np.uint16) if self._bits == 16 else of_part
            self._order[part * len(codes) :][: len(codes)] = np.argsort(sortable, kind="stable")
            self._starts[1 + part * values :][:values] = np.bincount(of_part, minlength=values)
        np.cumsum(self._starts, out=self._starts)

    @property
    def size_bytes(self) -> int:
        return self.codes.nbytes + self.numbers.nbytes + self._order.nbytes + self._starts.nbytes

    def search(self, codes: Codes, distance: int) -> Neighbours:
        values = np.stack([self._values(codes, part) for part in range(len(self._firsts))], axis=1)
        asked = ((values[:, :, None] ^ self._masks) + self._firsts[:, None]).ravel()
        first = self._starts[asked].astype(np.int64)
        lengths = self._starts[asked + 1] - first
        ends = np.cumsum(lengths)
        places = np.repeat(first - (ends - lengths), lengths) + np.arange(lengths.sum())
        queries = np.repeat(
            np.arange(len(codes)), lengths.reshape(len(codes), values.shape[1] * len(self._masks)).sum(axis=1)
        )
        # A hash that shares several parts is compared once.
        pairs = np.unique(queries * len(self.codes) + self._order[places])
        queries, places = np.divmod(pairs, max(len(self.codes), 1))
        bits = _bits_that_differ(codes[queries], self.codes[places])
        near = bits <= distance
        return Neighbours(queries[near], self.numbers[places[near]], bits[near])

    def _values(self, codes: Codes, part: int) -> Numbers:
        """A part of each hash: `_bits` from bit `part * _bits` on."""
        first, shift = divmod(part * self._bits, 8)
        window = np.zeros(len(codes), np.int64)
        for byte in range(first, first + 4):  # they hold 21 bits wherever these begin
            window = window << 8 | (codes[:, byte] if byte < HASH_BYTES else 0)
        return window >> (32 - shift - self._bits) & ((1 << self._bits) - 1)


_State: TypeAlias = tuple[tuple[_Segment, ...], Codes, Numbers, int]


def _empty_tail() -> tuple[Codes, Numbers]:
    return np.zeros((_TAIL, HASH_BYTES), np.uint8), np.zeros(_TAIL, np.int64)


_BITS_SET = np.array([bin(value).count("1") for value in range(1 << 16)], np.uint8)


def _bits_that_differ(one: Codes, other: Codes) -> Numbers:
    """Along the last axis; UINT8 [..., HASH_BYTES] both, broadcast to each other."""
    difference = np.ascontiguousarray(one).view(np.uint16) ^ np.ascontiguousarray(other).view(np.uint16)
    bits: Numbers = _BITS_SET[difference].sum(axis=-1, dtype=np.int64)
    return bits
