"""The index of a Matroska or WebM file: its cues say where keyframes lie, the rest is not read.

A player goes from cluster to cluster, and in these from block to block, whatever cues say. So the headers of all
clusters are read, and those of a cluster's elements up to its keyframe: a cue that leads elsewhere does not count.

What cues do not say is the time of the last frame: that is read from the file's end. Where keyframes are too far apart,
frames between them are needed, and of these no index tells: such a file is read whole. Elements: RFC 9559.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from wildgate_server.media.ebml import Element, ElementReader, children, element_at, number, with_size
from wildgate_server.media.matroska_head import BETWEEN_CLUSTERS, CLUSTER, CLUSTER_ID, MOST_ELEMENTS, Cue, read_head
from wildgate_server.media.sample import Sample, UnfitIndex
from wildgate_server.source.byte_source import ByteRange, ByteSource

__all__ = ["MatroskaIndex"]

_TIMESTAMP, _SIMPLE_BLOCK, _BLOCK_GROUP, _BLOCK, _REFERENCE = 0xE7, 0xA3, 0xA0, 0xA1, 0xFB
_IN_CLUSTERS = frozenset({_SIMPLE_BLOCK, _BLOCK_GROUP, 0xEC, 0xBF, _TIMESTAMP, 0xA7, 0xAB, 0x5854})

_NANOSECONDS = 10**9
_LONGEST_TIME = 1 << 20
_FIRST_TAIL = 32 << 10
_LONGEST_TAIL = 4 << 20
_MOST_PLACES = 1 << 18  # in tails, that are looked at for whether an element begins there
_HEADER_BYTES = 24  # of a cluster, with its time
_WORTH_IT = 1 << 20  # of smaller files much is read anyway


@dataclass(frozen=True, slots=True)
class _VideoBlock:
    """A frame of the video: when it is shown, in ticks from its cluster's own time, and whether it is a keyframe.

    `is_several` where there are more frames with it in its block (lacing), whose times nothing tells.
    """

    ticks: int
    is_keyframe: bool
    is_several: bool


class MatroskaIndex:
    """The keyframes that a file's cues name and its last frame, as samples; excerpts of the file with some of them.

    Raises UnfitIndex, from every method, where the file has no cues or is not what they say.
    """

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self._elements = ElementReader(source)
        self._head = read_head(source)
        self._cues = self._head.cues
        self._places_left = _MOST_PLACES
        self._clusters = self._checked_clusters()
        tick = Fraction(self._head.tick_ns, _NANOSECONDS)
        times_s = [cue.ticks * tick.numerator / tick.denominator for cue in self._cues]
        self.samples = [Sample(time_s, True) for time_s in times_s]
        last_ticks = self._last_ticks()
        if last_ticks > self._cues[-1].ticks:
            self.samples.append(Sample(last_ticks * tick.numerator / tick.denominator, False))

    def excerpt(self, places: Sequence[int]) -> bytes:
        """A file of the same kind with nothing but the samples, keyframes, at `places`."""
        cues = [self._cues[place] for place in places]
        self._fetch_beginnings(cues)
        blocks = [self._keyframe(cue) for cue in cues]
        contents = self._source.read([ByteRange(block.start, block.known_end) for _, block in blocks])
        clusters = [
            with_size(CLUSTER_ID, with_size(b"\xe7", time.to_bytes(8, "big")) + bytes(content))
            for (time, _), content in zip(blocks, contents, strict=True)
        ]
        return b"".join((self._head.content, *clusters))

    def _checked_clusters(self) -> dict[int, Element]:
        """All clusters, by their places; the cues lead to these, and the first one to the first frame."""
        first_cue, place = self._cues[0], self._head.first_cluster
        if first_cue.cluster != place:
            raise UnfitIndex("the first cue is not in the first cluster")
        clusters = self._clusters_from(place)
        if not {cue.cluster for cue in self._cues} <= clusters.keys():
            raise UnfitIndex("a cue leads to no cluster of the segment")
        times = [self._time_of(cluster) for cluster in clusters.values()]
        if times != sorted(times):
            raise UnfitIndex("the clock falls back")
        self._fetch_beginnings([first_cue])
        _, first = next(self._blocks(clusters[place]), (None, None))
        if first is None or self._time_of(clusters[place]) + first.ticks != first_cue.ticks:
            raise UnfitIndex("the first cue is not the first frame")
        return clusters

    def _clusters_from(self, place: int) -> dict[int, Element]:
        """The clusters that follow each other from a place up to the end of the file."""
        size = self._source.size
        named = sorted({cue.cluster for cue in self._cues if cue.cluster < size})
        self._source.read([ByteRange(start, min(start + _HEADER_BYTES, size)) for start in named[:MOST_ELEMENTS]])
        clusters: dict[int, Element] = {}
        for _ in range(MOST_ELEMENTS):
            if place == size:
                return clusters
            element = self._elements.whole(place)
            if element.id == CLUSTER:
                clusters[place] = element
            elif element.id not in BETWEEN_CLUSTERS:
                raise UnfitIndex("what should be a cluster is not one")
            place = element.known_end
            self._check_worth()
        raise UnfitIndex("too many clusters")

    def _last_ticks(self) -> int:
        """When the last frame is shown."""
        times: list[int] = [self._cues[-1].ticks]
        for cluster in reversed(self._clusters.values()):
            if cluster.start < self._cues[-1].cluster:
                break
            time = self._time_of(cluster)
            blocks = self._last_blocks(cluster.data, cluster.known_end)
            if any(block.is_several for block in blocks):
                raise UnfitIndex("several frames in one block")
            times += [time + block.ticks for block in blocks]
            if len(times) > self._head.reorder:
                break
        return max(times)

    def _last_blocks(self, start: int, end: int) -> list[_VideoBlock]:
        """The video's last blocks between two places, of which one is the end of a block: as many as matter, if any.

        Blocks can be read forwards only. So this looks for the first place from which blocks follow each other up to
        the very end; what looks like a block there may still be part of a frame, and does not count.
        """
        length = _FIRST_TAIL
        while True:
            tail_start = max(start, end - length)
            [tail] = self._source.read([ByteRange(tail_start, end)])
            content = bytes(tail)
            if tail_start == start:
                return self._chain(content, 0) or []
            first = self._first_place(content)
            blocks = [] if first is None else self._chain(content, first) or []
            if len(blocks) > self._head.reorder:
                return blocks[1:]
            length = max(length * 5 // 4, length * (self._head.reorder + 2) // max(len(blocks), 1))
            if length > _LONGEST_TAIL:
                raise UnfitIndex("the last blocks are too long")
            self._check_worth()

    def _first_place(self, content: bytes) -> int | None:
        """The first place of a block from which elements of a cluster follow each other up to the end, if any."""
        looked_at: set[int] = set()  # places that lead nowhere
        for first in (at for at, byte in enumerate(content) if byte in (_SIMPLE_BLOCK, _BLOCK_GROUP)):
            at: int | None = first
            while at is not None and at not in looked_at:
                if at == len(content):
                    return first
                looked_at.add(at)
                if len(looked_at) > self._places_left:
                    raise UnfitIndex("too much looks like blocks")
                element = element_at(content, at)
                at = element.end if element is not None and element.id in _IN_CLUSTERS else None
        self._places_left -= len(looked_at)
        return None

    def _chain(self, content: bytes, at: int) -> list[_VideoBlock] | None:
        """The video's blocks from a place on; None unless elements of a cluster follow each other up to the end."""
        blocks: list[_VideoBlock] = []
        while at < len(content):
            element = element_at(content, at)
            if element is None or element.end is None or element.end > len(content) or element.id not in _IN_CLUSTERS:
                return None
            if (block := self._video_block(element.id, content[element.data : element.end])) is not None:
                blocks.append(block)
            at = element.end
        return blocks

    def _video_block(self, identity: int, data: bytes) -> _VideoBlock | None:
        """The frame in an element of a cluster, if it is one of the video."""
        is_keyframe = False
        if identity == _BLOCK_GROUP:
            fields = dict(children(data))
            is_keyframe = _REFERENCE not in fields
            data = bytes(fields.get(_BLOCK, b""))
        elif identity != _SIMPLE_BLOCK:
            return None
        if len(data) < 4 or data[0] != self._head.track | 0x80:
            return None
        ticks = int.from_bytes(data[1:3], "big", signed=True)
        flags = data[3]
        return _VideoBlock(ticks, is_keyframe or (identity == _SIMPLE_BLOCK and bool(flags & 0x80)), bool(flags & 0x06))

    def _fetch_beginnings(self, cues: Sequence[Cue]) -> None:
        """Fetches, at once, the beginnings of clusters, and of the keyframes in them where cues say where they are."""
        step, size = self._source.step_bytes, self._source.size
        spans = []
        for cue in cues:
            if cue.relative is None:
                spans.append(ByteRange(cue.cluster, cue.cluster + step))
            else:
                spans.append(ByteRange(cue.cluster, cue.cluster + 64))
                spans.append(ByteRange(cue.cluster + cue.relative, cue.cluster + cue.relative + step))
        self._source.read([ByteRange(span.start, min(span.end, size)) for span in spans if span.start < size])

    def _keyframe(self, cue: Cue) -> tuple[int, Element]:
        """The time of a cue's cluster, and the element that holds its keyframe."""
        cluster = self._clusters[cue.cluster]
        time = self._time_of(cluster)
        for element, block in self._blocks(cluster):
            if cue.relative is not None and element.start != cluster.data + cue.relative:
                continue
            if time + block.ticks == cue.ticks and block.is_keyframe and not block.is_several:
                return time, element
        raise UnfitIndex("a cue leads to no keyframe")

    def _blocks(self, cluster: Element) -> Iterator[tuple[Element, _VideoBlock]]:
        """The video's blocks of a cluster; of simple blocks no more than the header is read."""
        at = cluster.data
        while at < cluster.known_end:
            element = self._elements.whole(at)
            if element.id not in _IN_CLUSTERS:
                raise UnfitIndex("what should be a block is not one")
            if element.id == _BLOCK_GROUP:
                data = bytes(self._elements.data(element, self._source.size))
            else:
                [header] = self._source.read([ByteRange(element.data, min(element.data + 4, element.known_end))])
                data = bytes(header)
            if (block := self._video_block(element.id, data)) is not None:
                yield element, block
            at = element.known_end
            self._check_worth()

    def _check_worth(self) -> None:
        if 2 * self._source.read_bytes > self._source.size > _WORTH_IT:
            raise UnfitIndex("looking for frames takes too much")

    def _time_of(self, cluster: Element) -> int:
        """The time of a cluster, in ticks, which comes before its blocks."""
        at = cluster.data
        while (element := self._elements.whole(at)).id not in (_SIMPLE_BLOCK, _BLOCK_GROUP):
            if element.id == _TIMESTAMP:
                return number(self._elements.data(element, _LONGEST_TIME))
            at = element.known_end
        raise UnfitIndex("a cluster has no time")
