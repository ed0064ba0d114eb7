"""The list of blocks: what is on disk, and in memory what it takes to tell whether a video is on it.

Each record of the log has a number here, counted from 0; an entry that is changed gets a new one. In memory are the
hashes, the digests and where on disk the rest lies. Changes come one at a time and are in force, on disk first, when
they return; lookups go on meanwhile, in any thread.
"""

from __future__ import annotations

import asyncio
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from threading import Lock
from time import time
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import structlog

from wildgate_proto.v1 import blocks_pb2 as pb
from wildgate_server.blocks.block_log import BlockLog
from wildgate_server.blocks.entries import completed_block, digest_key, digest_keys, in_force_until, usable_hashes
from wildgate_server.blocks.listed_hashes import COMPACT_FROM, GONE, ListedHashes, Near, copied
from wildgate_server.blocks.near_hashes import Codes, Numbers

__all__ = ["BlockList"]

_log = structlog.get_logger()

_LOADED_AT_ONCE = 20_000
_T = TypeVar("_T")


class BlockList:
    """The list in a directory. Made by `load`, which reads it; `clock` returns seconds since 1970."""

    _places: array[int]  # on disk, by record; GONE where a later record replaced it
    _positions: array[int]
    _until: array[int]  # milliseconds since 1970, by record: when it ends to be in force
    _full: ListedHashes
    _regions: ListedHashes

    def __init__(self, directory: Path, clock: Callable[[], float] = time) -> None:
        self._log = BlockLog(directory)
        self._clock = clock
        # One thread changes the list, another one tidies it up.
        self._changing = ThreadPoolExecutor(1, "blocks")
        self._tidying = ThreadPoolExecutor(1, "blocks-tidy")
        self._tidy: asyncio.Task[None] | None = None
        self._untidied = False
        self._one_tidies = asyncio.Lock()
        self._moving = Lock()  # held while places change, and while one is read
        self.changed = asyncio.Event()
        """Set, and replaced by another, with each change."""
        self._forget()

    @classmethod
    async def load(cls, directory: Path, clock: Callable[[], float] = time) -> BlockList:
        """Reads the list. Raises BlockLogError."""
        blocks = cls(directory, clock)
        try:
            await blocks._run(blocks._load)
        except BaseException:
            await blocks.close()
            raise
        return blocks

    async def close(self) -> None:
        """Finishes what is under way and lets go of the files."""
        if self._tidy:
            self._tidy.cancel()
            await asyncio.gather(self._tidy, return_exceptions=True)
        await asyncio.to_thread(self._changing.shutdown)
        await asyncio.to_thread(self._tidying.shutdown)
        self._log.close()

    @property
    def entries(self) -> int:
        """Entries on the list, in force or not."""
        return self._entries

    @property
    def list_id(self) -> str:
        """Names the list, and every copy of it."""
        return self._log.list_id

    @property
    def position(self) -> int:
        """Of the last change; 0 where there was none."""
        return self._position

    @property
    def hashes(self) -> int:
        """Hashes that videos are compared with."""
        return len(self._full.near) + len(self._regions.near)

    @property
    def size_bytes(self) -> int:
        """What the hashes take in memory."""
        return self._full.near.size_bytes + self._regions.near.size_bytes

    @property
    def log_bytes(self) -> int:
        """What the list takes on disk."""
        return self._log.size_bytes

    @property
    def wants_sha256(self) -> bool:
        """Whether an entry is known by its SHA-256 alone, as those of other platforms are."""
        return self._sha256_alone > 0

    def by_digest(self, digests: Iterable[str]) -> pb.Block | None:
        """The entry in force that has one of the digests."""
        for digest in digests:
            numbers: tuple[int, ...] = ()
            # Again where entries were replaced meanwhile.
            while (now := self._digests.get(digest_key(digest), ())) != numbers:
                numbers = now
                for number in numbers:
                    if block := self.block(number):
                        return block
        return None

    def near_full(self, codes: Codes, distance: int) -> Near:
        """Whole pictures' hashes that differ from these in at most so many bits; some may be of entries just gone."""
        return self._full.search(codes, distance)

    def near_regions(self, codes: Codes, distance: int) -> Near:
        """The same for hashes of regions."""
        return self._regions.search(codes, distance)

    def in_force(self, numbers: Numbers) -> npt.NDArray[np.bool_]:
        """Which of the entries with these numbers stand and are in force."""
        now_ms, places, until = int(self._clock() * 1e3), self._places, self._until
        return np.array([places[at] != GONE and until[at] > now_ms for at in numbers.tolist()], np.bool_)

    def block(self, number: int) -> pb.Block | None:
        """The entry with this number, if it still stands and is in force."""
        record = self._record(number)
        if record is None or not record.HasField("put") or in_force_until(record.put) <= self._clock() * 1e3:
            return None
        return record.put

    def get(self, block_id: str) -> pb.Block | None:
        """The entry with this id, in force or not."""
        number = self._ids.get(block_id)
        record = None if number is None else self._record(number)
        return record.put if record and record.HasField("put") else None

    def records(self, after: int) -> Iterator[pb.BlockRecord]:
        """What still stands of the changes after a position, in order, removals among them."""
        for number in range(bisect_right(self._positions, after), len(self._positions)):
            if record := self._record(number):
                yield record

    async def put(self, blocks: Sequence[pb.Block]) -> int:
        """Adds checked entries, or replaces those with their ids; the position of the last one. Raises OSError."""

        def completed(block: pb.Block) -> pb.Block:
            before = self.get(block.id)
            return completed_block(block, before) if before else block

        return await self._run(lambda: self._change([pb.BlockRecord(put=completed(block)) for block in blocks]))

    async def change(self, block_id: str, changed: Callable[[pb.Block], pb.Block]) -> pb.Block | None:
        """Replaces an entry by what `changed` makes of it, with no change in between; None if there is none.

        Raises OSError, and what `changed` raises; nothing is changed then.
        """

        def change() -> pb.Block | None:
            if block := self.get(block_id):
                block = changed(block)
                self._change([pb.BlockRecord(put=block)])
            return block

        return await self._run(change)

    async def remove(self, ids: Sequence[str], removed_by: str) -> list[str]:
        """Removes entries; the ids of those that there were. Raises OSError."""
        now_ms = int(self._clock() * 1e3)

        def change() -> list[str]:
            there = [block_id for block_id in dict.fromkeys(ids) if self.get(block_id)]
            removals = [pb.Removal(id=each, removed_by=removed_by, removed_ms=now_ms) for each in there]
            self._change([pb.BlockRecord(removed=removal) for removal in removals])
            return there

        return await self._run(change)

    async def copy(self, records: Sequence[pb.BlockRecord]) -> None:
        """Adds another list's records under their own positions. Raises OSError."""
        await self._run(lambda: self._add([each for each in records if each.position > self._position]))

    async def restart(self, list_id: str) -> None:
        """Forgets everything, to become a copy of another list. Raises OSError."""

        def restart() -> None:
            with self._moving:
                self._log.restart(list_id)
                self._forget()

        await self._run(lambda: self._tidying.submit(restart).result())  # nothing is tidied up meanwhile

    async def tidy(self) -> None:
        """Merges what lookups go through, drops hashes of entries that are gone, and rewrites the file.

        The last two where they are half of all. Goes on beside lookups and changes; it follows changes by itself.
        """
        loop = asyncio.get_running_loop()
        aside = partial(loop.run_in_executor, self._tidying)
        async with self._one_tidies:
            for kind in (self._full, self._regions):
                await aside(kind.merge, self._places)
            if not self._is_half_gone:
                return
            # Between two changes, so that what is in these places is all there is before that end of the file.
            places, in_file, until, state = await loop.run_in_executor(
                self._changing, lambda: (copied(self._places), self._in_file, self._log.size_bytes, self._state)
            )
            stand = np.flatnonzero(places != GONE)
            begun = await aside(self._log.begin_compaction, places[stand].tolist(), until)

            def finish() -> None:
                if self._state is not state:
                    return  # it has become another list
                with self._moving:
                    moved = self._log.finish_compaction(begun)
                    now, known = copied(self._places).copy(), len(places)
                    still = now[stand] != GONE
                    now[known:][now[known:] != GONE] += moved
                    now[stand[still]] = np.array(begun.places, np.int64)[still]
                    self._places = array("q", now.tobytes())
                    self._in_file -= in_file - len(stand)
                _log.info("blocks_compacted", kept=len(stand), dropped=in_file - len(stand), bytes=self.log_bytes)

            await self._run(finish)

    @property
    def _is_half_gone(self) -> bool:
        """Whether half of the records in the file no longer count."""
        return self._in_file - self._standing >= max(COMPACT_FROM, self._standing)

    async def _run(self, change: Callable[[], _T]) -> _T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._changing, change)
        finally:
            self.changed.set()
            self.changed = asyncio.Event()
            self._untidied = True
            if self._tidy is None or self._tidy.done():
                self._tidy = asyncio.create_task(self._tidy_up(), name="blocks-tidy")

    async def _tidy_up(self) -> None:
        while self._untidied:  # by what came meanwhile, too
            self._untidied = False
            try:
                await self.tidy()
            except OSError as error:  # no room for a second file: the one that is there goes on
                _log.warning("blocks_not_compacted", error=str(error), bytes=self.log_bytes)

    def _forget(self) -> None:
        self._state = object()
        self._places, self._positions, self._until = array("q"), array("Q"), array("q")
        self._ids: dict[str, int] = {}
        self._digests: dict[bytes, tuple[int, ...]] = {}
        self._full, self._regions = ListedHashes(), ListedHashes()
        self._entries = self._sha256_alone = self._position = self._in_file = self._standing = 0

    def _load(self) -> None:
        loading = self._log.load()
        while some := list(islice(loading, _LOADED_AT_ONCE)):
            self._apply(*zip(*some, strict=True))
        for kind in (self._full, self._regions):
            kind.merge(self._places)

    def _change(self, records: Sequence[pb.BlockRecord]) -> int:
        for position, record in enumerate(records, self._position + 1):
            record.position = position
        self._add(records)
        return self._position

    def _add(self, records: Sequence[pb.BlockRecord]) -> None:
        if records:
            self._apply(self._log.append(records), records)

    def _apply(self, places: Sequence[int], records: Sequence[pb.BlockRecord]) -> None:
        full: list[tuple[int, int, bytes]] = []
        regions: list[tuple[int, int, bytes]] = []
        first = len(self._places)
        self._in_file += len(records)
        self._standing += len(records)
        self._until.extend(in_force_until(record.put) for record in records)
        self._places.extend(places)
        for number, record in enumerate(records, first):
            self._positions.append(record.position)
            for key in digest_keys(record.put):
                self._digests[key] = (number, *self._digests.get(key, ()))
            for at, (whole, *of_it) in usable_hashes(record.put):
                full.append((number, at, whole))
                regions += ((number, at, each) for each in of_it)
        self._full.add(full)
        self._regions.add(regions)
        # Only then are those that they replace taken out of force: an entry that is changed blocks all the while.
        for number, record in enumerate(records, first):
            self._retire(record.put.id or record.removed.id)
            self._ids[record.put.id or record.removed.id] = number
            if record.HasField("put"):
                self._entries += 1
                self._count_digests(record.put, 1)
        if records:  # last: what has a position is in force
            self._position = records[-1].position

    def _retire(self, block_id: str) -> None:
        """Takes what was known of an entry out of force."""
        number = self._ids.get(block_id)
        record = None if number is None else self._record(number)
        if number is None or record is None:
            return
        self._places[number] = GONE
        self._standing -= 1
        for _, hashes in usable_hashes(record.put):
            self._full.retired += 1
            self._regions.retired += len(hashes) - 1
        if record.HasField("put"):
            self._entries -= 1
            self._count_digests(record.put, -1)
            for key in digest_keys(record.put):
                left = tuple(each for each in self._digests[key] if each != number)
                if left:
                    self._digests[key] = left
                else:
                    del self._digests[key]

    def _count_digests(self, block: pb.Block, by: int) -> None:
        kinds = {digest.partition(":")[0] for digest in block.digests}
        self._sha256_alone += by * (kinds == {"sha256"})

    def _record(self, number: int) -> pb.BlockRecord | None:
        """The record, unless a later one replaced it. Raises BlockLogError."""
        with self._moving:
            place = self._places[number]
            return None if place == GONE else self._log.read(place)
