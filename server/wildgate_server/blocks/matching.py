"""Which entries of the list of blocks a video resembles, and how: its fingerprint against the list's hashes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from wildgate_proto.v1 import blocks_pb2 as pb
from wildgate_server.block_rules import BlockRules
from wildgate_server.blocks.block_list import BlockList
from wildgate_server.blocks.fingerprint import MIN_QUALITY, FrameFingerprint, VideoFingerprint
from wildgate_server.blocks.listed_hashes import Near
from wildgate_server.blocks.near_hashes import Numbers, codes_of

__all__ = ["MatchedFrame", "Resemblance", "resemblances"]

_MOST_ENTRIES = 8  # that an answer tells of, those with the most frames
_MOST_WEIGHED = 256  # of which these are chosen
_LOOKUPS = 3  # of a video, where the list changes all the while
_REGIONAL_FRAMES = 6  # of a track whose regions are asked about: each has some eighteen


@dataclass(frozen=True, slots=True)
class MatchedFrame:
    """A frame of the video and the nearest one of the blocked video, `distance` of 256 bits apart."""

    track: int
    time_s: float
    distance: int
    original_s: float
    regional: bool = False


@dataclass(frozen=True, slots=True)
class Resemblance:
    """An entry that a video resembles; `share` of the frames that were asked about do, in the track with the most.

    `enough`: by full pictures alone the video is the blocked one. `number` is the entry's in the list.
    """

    number: int
    block: pb.Block
    frames: tuple[MatchedFrame, ...]
    share: float
    enough: bool


def resemblances(blocks: BlockList, video: VideoFingerprint, rules: BlockRules) -> list[Resemblance]:
    """The entries in force that the video resembles, those with the most frames first."""
    able = [frame for frame in video.frames if frame.quality >= MIN_QUALITY and frame.hashes]
    found: list[Resemblance] = []
    for _ in range(_LOOKUPS if able else 0):
        hashes = blocks.hashes
        found, all_stand = _resemblances(blocks, able, rules)
        # What was found and no longer stands may have been replaced by what came after the search.
        if all_stand or blocks.hashes == hashes:
            break
    return found


def _resemblances(
    blocks: BlockList, able: Sequence[FrameFingerprint], rules: BlockRules
) -> tuple[list[Resemblance], bool]:
    """As `resemblances`; and whether all that was found was in force."""
    # Track by track: one more that shows something else takes nothing away from what this one shows.
    tracks: defaultdict[int, list[int]] = defaultdict(list)
    for place, frame in enumerate(able):
        tracks[frame.track].append(place)
    asked = {track: places[:: -(-len(places) // _REGIONAL_FRAMES)] for track, places in tracks.items()}
    regions = [(place, code) for place in chain(*asked.values()) for code in able[place].hashes[1:]]
    of_full = blocks.near_full(codes_of(frame.hashes[0] for frame in able), rules.distance)
    of_regions = blocks.near_regions(codes_of(code for _, code in regions), rules.regional.distance)
    found_often, all_stand = _found_often(blocks, np.concatenate([of_full.entries, of_regions.entries]))
    near = _nearest_full(of_full.of(found_often))
    regional = _nearest_regional(of_regions.of(found_often), [place for place, _ in regions], rules.regional.regions)
    for (entry, query), match in regional.items():
        near[entry].setdefault(query, match)
    found: list[Resemblance] = []
    for entry in sorted(near, key=lambda entry: (-len(near[entry]), entry)):
        if len(found) == _MOST_ENTRIES:
            break
        block = blocks.block(entry)
        if block is None:  # removed, disabled or over
            all_stand = False
            continue
        originals = block.fingerprint.frames
        frames = tuple(
            MatchedFrame(able[query].track, able[query].time_s, bits, originals[frame].time_s, regional)
            for query, (bits, frame, regional) in sorted(near[entry].items())
        )
        full = {query for query, (_, _, regional) in near[entry].items() if not regional}
        share, enough = 0.0, False
        for track, places in tracks.items():
            whole = _share(full, places)
            share = max(share, whole, _share(near[entry], asked[track]))
            enough |= len(full.intersection(places)) >= rules.frames and whole >= rules.share
        found.append(Resemblance(entry, block, frames, share, enough))
    return found, all_stand


def _found_often(blocks: BlockList, entries: Numbers) -> tuple[Numbers, bool]:
    """Those in force that were found most often, for thousands may be near; and whether all are in force."""
    numbers, times = np.unique(entries, return_counts=True)
    stand = blocks.in_force(numbers)
    order = np.argsort(-times[stand], kind="stable")
    return numbers[stand][order[:_MOST_WEIGHED]], bool(stand.all())


def _share(found: Collection[int], places: Sequence[int]) -> float:
    return sum(place in found for place in places) / len(places)


_Match = tuple[int, int, bool]  # bits that differ, frame of the entry, whether it is by regions


def _nearest_full(near: Near) -> defaultdict[int, dict[int, _Match]]:
    """By entry, and by the place of the frame asked about."""
    nearest: defaultdict[int, dict[int, _Match]] = defaultdict(dict)
    for query, bits, entry, frame in _rows(near):
        best = nearest[entry].get(query)
        if best is None or bits < best[0]:
            nearest[entry][query] = bits, frame, False
    return nearest


def _nearest_regional(near: Near, places: Sequence[int], least: int) -> dict[tuple[int, int], _Match]:
    """By entry and by the place of the frame asked about, where enough of its regions are near those of one frame.

    `places[query]` is the frame whose region a query is.
    """
    regions: defaultdict[tuple[int, int, int], dict[int, int]] = defaultdict(dict)
    for query, bits, entry, frame in _rows(near):
        by_region = regions[entry, places[query], frame]
        by_region[query] = min(bits, by_region.get(query, bits))
    nearest: dict[tuple[int, int], _Match] = {}
    most: Counter[tuple[int, int]] = Counter()
    for (entry, place, frame), by_region in regions.items():
        if len(by_region) >= max(least, most[entry, place] + 1):
            most[entry, place] = len(by_region)
            nearest[entry, place] = min(by_region.values()), frame, True
    return nearest


def _rows(near: Near) -> Iterable[tuple[int, int, int, int]]:
    columns = near.found.queries, near.found.distances, near.entries, near.frames
    return zip(*(column.tolist() for column in columns), strict=True)
