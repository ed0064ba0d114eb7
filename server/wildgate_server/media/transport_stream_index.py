"""An index of an MPEG transport stream, which has none: keyframes are sought where the time says they should be.

A keyframe is wanted at most `max_gap_s` after the one before, as late as there is one. Where in the file that time lies
is estimated from places whose times are known, and again from what is found there; the keyframe lies before it.
Syntax: ITU-T H.222.0, 2.4.3 (packets, PES) and 2.4.4 (tables).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise

from wildgate_server.media.sample import Sample, UnfitIndex
from wildgate_server.source.byte_source import ByteRange, ByteSource

__all__ = ["TransportStreamIndex", "codec_changes", "is_transport_stream"]

_PACKET = 188
_SYNC = 0x47
_TICKS_PER_S = 90_000
_TICKS_MODULO = 1 << 33
_PROGRAM_MAP = 2  # the table that lists streams
_VIDEO_TYPES = frozenset({0x02, 0x1B, 0x24})  # MPEG-2, H.264, HEVC
_ALL_VIDEO_TYPES = _VIDEO_TYPES | {0x01, 0x06, 0x10, 0x20, 0x21, 0x33, 0x42, 0xD1, 0xEA}  # or may be video
_FIRST_PROBE = 86 * _PACKET
_LONGEST_HEAD = 1 << 20
_MOST_PROBES = 12
_REORDERED_FRAMES = 17
_REORDERED_TICKS = _TICKS_PER_S  # by which a frame may be shown after one that is decoded later
# How unevenly a video's bytes may be spread before it is looked at more closely, and into how many parts it falls then.
_UNEVEN, _UNEVEN_PARTS = 1.5, 6


def is_transport_stream(source: ByteSource) -> bool:
    """Whether a file begins as transport streams do."""
    return source.ahead(0, 3 * _PACKET)[::_PACKET] == bytes([_SYNC] * 3)


@dataclass(frozen=True, slots=True)
class _Unit:
    """A PES packet of the video, which is a frame: where it begins, when it is shown, whether one can begin there."""

    place: int
    ticks: int
    is_keyframe: bool


class TransportStreamIndex:
    """Keyframes of a file as far apart as `max_gap_s` allows, and its last frame, as samples; excerpts of the file.

    Raises UnfitIndex, from every method, where there are no such keyframes, or finding them is not worth it.
    """

    def __init__(self, source: ByteSource, max_gap_s: float) -> None:
        self._source = source
        self._end = source.size // _PACKET * _PACKET
        self._probe = _FIRST_PROBE
        self._tables, self._pid = self._read_tables()
        self._first_ticks: int | None = None
        self._seen: dict[int, int] = {}  # times, in ticks, by places
        here = next(iter(self._units_from(0, self._end)), None)
        if here is None or not here.is_keyframe:
            raise UnfitIndex("the video does not begin with a keyframe, or does not say so")
        tail = self._tail()
        last_ticks = max(unit.ticks for unit in tail)
        reach = int(max_gap_s * _TICKS_PER_S)
        keyframes = [here]
        while last_ticks - here.ticks > reach:
            here = self._next_keyframe(here, here.ticks + reach, tail)
            keyframes.append(here)
        self._check_clock(reach, last_ticks - keyframes[0].ticks)
        self._keyframes = keyframes
        self.samples = [Sample(unit.ticks / _TICKS_PER_S, True) for unit in keyframes]
        if last_ticks > here.ticks:
            self.samples.append(Sample(last_ticks / _TICKS_PER_S, False))

    def excerpt(self, places: Sequence[int]) -> bytes:
        """A file of the same kind with nothing but the samples, keyframes, at `places`."""
        packets: list[bytearray] = []
        starts = [self._keyframes[place].place for place in places]
        self._source.read([ByteRange(start, min(start + 2 * self._probe, self._end)) for start in starts])
        for start in starts:
            for at, packet in self._video_packets(start, self._end):
                if at > start and packet[1] & 0x40:
                    break
                packets.append(bytearray(packet))
        for count, taken in enumerate(packets):
            taken[3] = taken[3] & 0xF0 | count & 0x0F  # continuity counters: no packet is missing
        return b"".join((self._tables, *packets))

    def _next_keyframe(self, here: _Unit, goal: int, tail: Sequence[_Unit]) -> _Unit:
        """The last keyframe that is shown after `here` and not after `goal`, in ticks.

        Whatever is coded before a keyframe is shown before it, but for leading pictures, which are coded after it. So
        the keyframe lies before any frame that is shown after `goal`.
        """
        before, after = here, next((unit for unit in tail if unit.ticks > goal), tail[-1])
        for _ in range(_MOST_PROBES):
            distance = after.place - before.place
            if distance <= 2 * self._probe or after.ticks <= before.ticks:
                break
            share = (goal - before.ticks) / (after.ticks - before.ticks)
            probe = before.place + min(max(int(share * distance) - self._probe // 2, _PACKET), distance - self._probe)
            around = self._units_from(before.place + (probe - before.place) // _PACKET * _PACKET, after.place)
            early = [unit for unit in around if unit.ticks <= goal]
            late = [unit for unit in around if unit.ticks > goal]
            if late:
                after = late[0]
            if early:
                before = early[-1] if not late or early[-1].place < late[0].place else before
            if not around or (early and late):
                break
        end = after.place
        while end > here.place:
            start = max(here.place, end - self._probe)
            for unit in reversed(self._units(start, end)):
                if unit.is_keyframe and here.ticks < unit.ticks <= goal:
                    return unit
            end = start
            self._check_worth()
        raise UnfitIndex("frames between keyframes are needed")

    def _tail(self) -> list[_Unit]:
        """The last frames of the file, enough for the one shown last to be among them."""
        length = 4 * self._probe
        while True:
            units = self._units(max(self._end - length, 0), self._end)
            if len(units) >= _REORDERED_FRAMES:
                self._probe = max(self._probe, length // len(units) * 5 // 4 // _PACKET * _PACKET)
                return units
            self._check_worth()
            grown = max(length * 5 // 4, length * (_REORDERED_FRAMES + 1) // max(len(units), 1))
            length = grown // _PACKET * _PACKET

    def _check_clock(self, reach: int, duration: int) -> None:
        """Raises UnfitIndex where the clock falls back, as that of joined recordings does.

        Searching has seen times all over the file. Where it has left out much more than what is shown in `reach`, as
        the file's size and `duration` in ticks have it, there may be more than it has found: one more look at each.
        """
        longest = int(self._end * (_UNEVEN * reach / max(duration, _UNEVEN_PARTS * reach)))
        for before, after in pairwise((*sorted(self._seen), self._end)):
            for place in range(before + longest, after - longest // 2, longest):
                self._units_from(place // _PACKET * _PACKET, after)
        highest = self._first_ticks or 0
        for _, ticks in sorted(self._seen.items()):
            highest = max(highest, ticks)
            if ticks < highest - _REORDERED_TICKS:
                raise UnfitIndex("the clock falls back")

    def _units_from(self, place: int, end: int) -> list[_Unit]:
        """The frames that begin within one probe, the first from `place` on in which any does."""
        while place < end:
            if units := self._units(place, min(place + self._probe, end)):
                return units
            place += self._probe
            self._check_worth()
        return []

    def _units(self, start: int, end: int) -> list[_Unit]:
        """The frames that begin between two places."""
        units = []
        self._source.read([ByteRange(start, end)])
        for at, packet in self._video_packets(start, end):
            if not packet[1] & 0x40:
                continue
            has_field = packet[3] & 0x20
            pes = 5 + packet[4] if has_field else 4
            if pes + 14 > _PACKET or bytes(packet[pes : pes + 3]) != b"\0\0\1" or not packet[pes + 7] & 0x80:
                raise UnfitIndex("a frame has no time")
            stamp = packet[pes + 9 : pes + 14]
            ticks = (stamp[0] >> 1 & 7) << 30 | stamp[1] << 22 | stamp[2] >> 1 << 15 | stamp[3] << 7 | stamp[4] >> 1
            units.append(_Unit(at, self._unwrapped(ticks), bool(has_field and packet[4] and packet[5] & 0x40)))
            self._seen[at] = units[-1].ticks
        return units

    def _unwrapped(self, ticks: int) -> int:
        """A time stamp without its wrap-around; the first is taken as it is."""
        if self._first_ticks is None:
            self._first_ticks = ticks
        half = _TICKS_MODULO // 2
        return self._first_ticks + (ticks - self._first_ticks + half) % _TICKS_MODULO - half

    def _video_packets(self, start: int, end: int) -> Iterator[tuple[int, memoryview]]:
        """The transport packets of the video between two places, with theirs."""
        for at, packet in self._packets(start, end):
            if (packet[1] & 0x1F) << 8 | packet[2] == self._pid:
                if packet[1] & 0x80 or packet[3] & 0xC0:
                    raise UnfitIndex("a packet is damaged or scrambled")
                yield at, packet

    def _packets(self, start: int, end: int) -> Iterator[tuple[int, memoryview]]:
        for place in range(start, end, self._probe):
            [content] = self._source.read([ByteRange(place, min(place + self._probe, end))])
            for at in range(0, len(content), _PACKET):
                packet = content[at : at + _PACKET]
                if packet[0] != _SYNC:
                    raise UnfitIndex("packets are not where they should be")
                yield place + at, packet

    def _read_tables(self) -> tuple[bytes, int]:
        """The packets that list the streams, and the video's packet identifier."""
        table_pid = 0
        tables: list[bytes] = []
        for _, packet in self._packets(0, min(self._end, _LONGEST_HEAD // _PACKET * _PACKET)):
            pid = (packet[1] & 0x1F) << 8 | packet[2]
            if pid != table_pid or not packet[1] & 0x40:
                continue
            tables.append(bytes(packet))
            section = _section(packet)
            if not table_pid:
                programs = {pid for number, pid in _programs(section) if number}
                if len(programs) != 1 or not (table_pid := programs.pop()):
                    break
            else:
                videos = [pid for kind, pid in _streams(section) if kind in _VIDEO_TYPES]
                if len(videos) != 1 or len(videos) != sum(kind in _ALL_VIDEO_TYPES for kind, _ in _streams(section)):
                    break
                return b"".join(tables), videos[0]
        raise UnfitIndex("not one program with one video")

    def _check_worth(self) -> None:
        if 2 * self._source.read_bytes > self._source.size:
            raise UnfitIndex("looking for keyframes takes too much")


def codec_changes(content: bytes) -> Iterator[int]:
    """The places in a transport stream from which a stream is of another type than it was before."""
    tables = [(at, section) for at, section in _tables(content, {0}) if section[0] == 0]
    pids = {pid for _, section in tables for _, pid in _programs(section)} - {0}
    starts = [at for at, _ in tables]
    types: dict[int, int] = {}
    for at, section in _tables(content, pids) if pids else ():
        with suppress(IndexError):
            streams = {pid: kind for kind, pid in _streams(section)} if section[0] == _PROGRAM_MAP else {}
            if any(types.get(pid, kind) != kind for pid, kind in streams.items()):
                yield starts[max(bisect_right(starts, at) - 1, 0)]
            types |= streams


def _tables(content: bytes, pids: set[int]) -> Iterator[tuple[int, bytes]]:
    """The sections that begin in packets with these identifiers, and where these packets are."""
    for at in _places(content, pids):
        with suppress(UnfitIndex, IndexError):
            section = _section(memoryview(content)[at : at + _PACKET])
            if section[1] & 0xC0 == 0x80:
                yield at, section


def _places(content: bytes, pids: set[int]) -> Iterator[int]:
    """Where packets with these identifiers lie in which something begins; out of step, whatever looks like one."""
    wanted = re.compile(b"[%b]" % re.escape(bytes({bits | pid >> 8 for pid in pids for bits in (0x40, 0x60)})))
    for first, step in ((0, _PACKET), (4, _PACKET + 4)):  # with time stamps before packets, as on discs
        if not content[first::step].strip(b"G"):
            places = (first + step * found.start() for found in wanted.finditer(content[first + 1 :: step]))
            break
    else:
        places = (found.start() for found in re.finditer(rb"G(?=[\x40-\x7f].)", content, re.DOTALL))
    return (at for at in places if int.from_bytes(content[at + 1 : at + 3], "big") & 0x1FFF in pids)


def _section(packet: memoryview) -> bytes:
    """The table section that begins in a packet, which must hold all of it; without its checksum."""
    start = 5 + packet[4] if packet[3] & 0x20 else 4
    if start < _PACKET:
        start += 1 + packet[start]
    if start + 3 <= _PACKET:
        end = start + 3 + ((packet[start + 1] & 0x0F) << 8 | packet[start + 2]) - 4
        if end <= _PACKET:
            return bytes(packet[start:end])
    raise UnfitIndex("a table does not fit a packet")


def _programs(section: bytes) -> Iterator[tuple[int, int]]:
    """Numbers and packet identifiers of the programs in a program association section."""
    for at in range(8, len(section) - 3, 4):
        yield int.from_bytes(section[at : at + 2], "big"), int.from_bytes(section[at + 2 : at + 4], "big") & 0x1FFF


def _streams(section: bytes) -> Iterator[tuple[int, int]]:
    """Types and packet identifiers of the streams in a program map section."""
    at = 12 + (int.from_bytes(section[10:12], "big") & 0x0FFF)
    while at + 5 <= len(section):
        yield section[at], int.from_bytes(section[at + 1 : at + 3], "big") & 0x1FFF
        at += 5 + (int.from_bytes(section[at + 3 : at + 5], "big") & 0x0FFF)
