"""The index of a Matroska or WebM file: its cues say where keyframes lie, the rest is not read.

Who plays a file goes from cluster to cluster, and in these from block to block, whatever cues say. So the headers of
all clusters are read, and of a cluster the headers of what comes before its keyframe: a cue that leads elsewhere is
none.

What cues do not say is the time of the last frame: that is read from the file's end. Where keyframes are too far apart,
frames between them are needed, and of these no index tells: such a file is read whole. Elements: RFC 9559.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from wildgate_server.media.ebml import Element, ElementReader, children, element_at, with_size
from wildgate_server.media.sample import Sample
from wildgate_server.media.unfit_index import UnfitIndex
from wildgate_server.source.byte_ranges import ByteRange
from wildgate_server.source.byte_source import ByteSource

__all__ = ["MatroskaIndex", "is_cut_short", "is_matroska"]

_EBML, _SEGMENT, _SEEK_HEAD, _INFO, _TRACKS = 0x1A45DFA3, 0x18538067, 0x114D9B74, 0x1549A966, 0x1654AE6B
_CUES, _CLUSTER = 0x1C53BB6B, 0x1F43B675
_SEEK, _SEEK_ID, _SEEK_POSITION = 0x4DBB, 0x53AB, 0x53AC
_TIMESTAMP_SCALE = 0x2AD7B1
_TRACK_ENTRY, _TRACK_NUMBER, _TRACK_TYPE, _CODEC_ID = 0xAE, 0xD7, 0x83, 0x86
_CUE_POINT, _CUE_TIME, _CUE_POSITIONS = 0xBB, 0xB3, 0xB7
_CUE_TRACK, _CUE_CLUSTER, _CUE_RELATIVE = 0xF7, 0xF1, 0xF0
_TIMESTAMP, _SIMPLE_BLOCK, _BLOCK_GROUP, _BLOCK, _REFERENCE = 0xE7, 0xA3, 0xA0, 0xA1, 0xFB
_IN_CLUSTERS = frozenset({_SIMPLE_BLOCK, _BLOCK_GROUP, 0xEC, 0xBF, _TIMESTAMP, 0xA7, 0xAB, 0x5854})
# Void, CRC-32, attachments, chapters, tags
_BETWEEN_CLUSTERS = frozenset({_SEEK_HEAD, _CUES, 0xEC, 0xBF, 0x1941A469, 0x1043A770, 0x1254C367})

_VIDEO = 1
_NANOSECONDS = 10**9
_LONGEST_HEAD = 1 << 20  # of what lies before the frames, without attachments
_LONGEST_CUES = 4 << 20
_MOST_ELEMENTS = 1 << 10
_FIRST_TAIL = 32 << 10
_LONGEST_TAIL = 4 << 20
_MOST_PLACES = 1 << 18  # in tails, that are looked at for whether an element begins there
_HEADER_BYTES = 12
# Codecs whose frames are shown in the order they are coded in; others may be shown up to 16 frames later.
_IN_ORDER = frozenset({b"V_VP8", b"V_VP9", b"V_AV1"})
_REORDERED_FRAMES = 17
_WORTH_IT = 1 << 20  # of smaller files much is read anyway
_UNKNOWN_SIZE = b"\x01" + b"\xff" * 7


def is_matroska(source: ByteSource) -> bool:
    """Whether a file begins as Matroska and WebM files do."""
    head = source.read([ByteRange(0, min(source.step_bytes, source.size))])[0]
    return bytes(head[:4]) == _EBML.to_bytes(4, "big")


def is_cut_short(source: ByteSource) -> bool:
    """Whether a Matroska file says that it is longer than it is."""
    elements = ElementReader(source)
    header = elements.at(0)
    segment = None if header is None or header.end is None else elements.at(header.end)
    return segment is not None and segment.end is not None and segment.end > source.size


@dataclass(frozen=True, slots=True)
class _Cue:
    """A keyframe: when it is shown (in ticks), its cluster, and its place in that cluster's data, if known."""

    ticks: int
    cluster: int
    relative: int | None


@dataclass(frozen=True, slots=True)
class _VideoBlock:
    """A frame of the video: when it is shown, in ticks from its cluster's own time, and whether it is a keyframe.

    `is_several` where there are more frames with it in its block (lacing), whose times nothing tells.
    """

    ticks: int
    is_keyframe: bool
    is_several: bool


class MatroskaIndex:
    """The keyframes that a file's cues name, and its last frame, as samples; excerpts of the file with some of them.

    Raises UnfitIndex, from every method, where the file has no cues or is not what they say.
    """

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self._elements = ElementReader(source)
        self._head: list[bytes] = []
        self._scale = 1_000_000
        self._track = 0
        self._reorder = _REORDERED_FRAMES
        self._cues: list[_Cue] = []
        self._clusters: list[Element] = []
        self._places_left = _MOST_PLACES
        self._read_head()
        last_ticks = self._last_ticks()
        tick = Fraction(self._scale, _NANOSECONDS)
        times_s = [cue.ticks * tick.numerator / tick.denominator for cue in self._cues]
        self.samples = [Sample(time_s, True) for time_s in times_s]
        if last_ticks > self._cues[-1].ticks:
            self.samples.append(Sample(last_ticks * tick.numerator / tick.denominator, False))

    def excerpt(self, places: Sequence[int]) -> bytes:
        """A file of the same kind with nothing but the samples, keyframes, at `places`."""
        cues = [self._cues[place] for place in places]
        self._fetch_beginnings(cues)
        blocks = [self._keyframe(cue) for cue in cues]
        contents = self._source.read([ByteRange(block.start, _end(block)) for _, block in blocks])
        clusters = [
            with_size(_CLUSTER.to_bytes(4, "big"), with_size(b"\xe7", time.to_bytes(8, "big")) + bytes(content))
            for (time, _), content in zip(blocks, contents, strict=True)
        ]
        return b"".join((*self._head, *clusters))

    def _read_head(self) -> None:
        """Reads everything before the first cluster, and the cues wherever they are."""
        header = self._known(self._elements.at(0))
        segment = self._elements.at(_end(header))
        if segment is None or segment.id != _SEGMENT or segment.end not in (None, self._source.size):
            raise UnfitIndex("no segment, or not one up to the end of the file")
        self._head = [self._copy(header), _SEGMENT.to_bytes(4, "big") + _UNKNOWN_SIZE]
        cues: Element | None = None
        at = segment.data
        for _ in range(_MOST_ELEMENTS):
            element = self._elements.at(at)
            if element is None or element.id == _CLUSTER:
                break
            if element.id == _SEEK_HEAD:
                cues = self._sought(self._data(element), segment.data) or cues
            elif element.id == _CUES:
                cues = element
            elif element.id in (_INFO, _TRACKS):
                self._head.append(self._copy(element))
                (self._read_info if element.id == _INFO else self._read_tracks)(self._data(element))
            at = _end(element)
        if not self._track or cues is None:
            raise UnfitIndex("no cues, or no single video track")
        self._read_cues(self._data(cues, _LONGEST_CUES), segment.data)
        if self._cues[0].cluster != at:
            raise UnfitIndex("the first cue is not in the first cluster")
        self._clusters = self._clusters_from(at)
        if not {cue.cluster for cue in self._cues} <= {cluster.start for cluster in self._clusters}:
            raise UnfitIndex("a cue leads to no cluster of the segment")
        self._fetch_beginnings(self._cues[:1])
        cluster = self._cluster(at)
        _, first = next(self._blocks(cluster), (None, None))
        if first is None or self._time_of(cluster) + first.ticks != self._cues[0].ticks:
            raise UnfitIndex("the first cue is not the first frame")

    def _clusters_from(self, place: int) -> list[Element]:
        """The clusters that follow each other from a place up to the end of the file."""
        size = self._source.size
        named = sorted({cue.cluster for cue in self._cues if cue.cluster < size})
        self._source.read([ByteRange(start, min(start + _HEADER_BYTES, size)) for start in named[:_MOST_ELEMENTS]])
        clusters: list[Element] = []
        for _ in range(_MOST_ELEMENTS):
            if place == size:
                return clusters
            element = self._known(self._elements.at(place))
            if element.id == _CLUSTER:
                clusters.append(element)
            elif element.id not in _BETWEEN_CLUSTERS:
                raise UnfitIndex("what should be a cluster is none")
            place = _end(element)
            self._check_worth()
        raise UnfitIndex("too many clusters")

    def _sought(self, seek_head: memoryview, base: int) -> Element | None:
        """The cues, where a seek head names them."""
        for identity, seek in children(seek_head):
            fields = dict(children(seek)) if identity == _SEEK else {}
            if bytes(fields.get(_SEEK_ID, b"")) == _CUES.to_bytes(4, "big"):
                element = self._elements.at(base + _number(fields.get(_SEEK_POSITION)))
                return element if element is not None and element.id == _CUES else None
        return None

    def _read_info(self, info: memoryview) -> None:
        scale = dict(children(info)).get(_TIMESTAMP_SCALE)
        self._scale = self._scale if scale is None else _number(scale)

    def _read_tracks(self, tracks: memoryview) -> None:
        entries = [dict(children(data)) for identity, data in children(tracks) if identity == _TRACK_ENTRY]
        videos = [entry for entry in entries if _number(entry.get(_TRACK_TYPE)) == _VIDEO]
        if len(videos) != 1:
            raise UnfitIndex("not one video track")
        self._track = _number(videos[0].get(_TRACK_NUMBER))
        if bytes(videos[0].get(_CODEC_ID, b"")).rstrip(b"\0") in _IN_ORDER:
            self._reorder = 1

    def _read_cues(self, cues: memoryview, base: int) -> None:
        found: dict[int, _Cue] = {}
        for identity, point in children(cues):
            if identity != _CUE_POINT:
                continue
            ticks = _number(dict(children(point)).get(_CUE_TIME))
            for kind, data in children(point):
                fields = dict(children(data)) if kind == _CUE_POSITIONS else {}
                if _number(fields.get(_CUE_TRACK)) == self._track:
                    relative = fields.get(_CUE_RELATIVE)
                    place = base + _number(fields.get(_CUE_CLUSTER))
                    found[ticks] = _Cue(ticks, place, None if relative is None else _number(relative))
        self._cues = [found[ticks] for ticks in sorted(found)]
        places = [(cue.cluster, cue.relative or 0) for cue in self._cues]
        if not places or places != sorted(places):
            raise UnfitIndex("no cues, or cues in no order")

    def _last_ticks(self) -> int:
        """When the last frame is shown."""
        times: list[int] = [self._cues[-1].ticks]
        for cluster in reversed(self._clusters):
            if cluster.start < self._cues[-1].cluster:
                break
            time = self._time_of(cluster)
            blocks = self._last_blocks(cluster.data, _end(cluster))
            if any(block.is_several for block in blocks):
                raise UnfitIndex("several frames in one block")
            times += [time + block.ticks for block in blocks]
            if len(times) > self._reorder:
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
            if len(blocks) > self._reorder:
                return blocks[1:]
            length = max(length * 5 // 4, length * (self._reorder + 2) // max(len(blocks), 1))
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
        if len(data) < 4 or data[0] != self._track | 0x80:
            return None
        ticks = int.from_bytes(data[1:3], "big", signed=True)
        flags = data[3]
        return _VideoBlock(ticks, is_keyframe or (identity == _SIMPLE_BLOCK and bool(flags & 0x80)), bool(flags & 0x06))

    def _fetch_beginnings(self, cues: Sequence[_Cue]) -> None:
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

    def _keyframe(self, cue: _Cue) -> tuple[int, Element]:
        """The time of a cue's cluster, and the element that holds its keyframe."""
        cluster = self._cluster(cue.cluster)
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
        while at < _end(cluster):
            element = self._known(self._elements.at(at))
            if element.id not in _IN_CLUSTERS:
                raise UnfitIndex("what should be a block is none")
            if element.id == _BLOCK_GROUP:
                data = bytes(self._data(element, self._source.size))
            else:
                [header] = self._source.read([ByteRange(element.data, min(element.data + 4, _end(element)))])
                data = bytes(header)
            if (block := self._video_block(element.id, data)) is not None:
                yield element, block
            at = _end(element)
            self._check_worth()

    def _check_worth(self) -> None:
        if 2 * self._source.read_bytes > self._source.size > _WORTH_IT:
            raise UnfitIndex("looking for frames takes too much")

    def _cluster(self, place: int) -> Element:
        cluster = self._elements.at(place)
        if cluster is None or cluster.id != _CLUSTER:
            raise UnfitIndex("a cue leads to no cluster")
        return self._known(cluster)

    def _time_of(self, cluster: Element) -> int:
        """The time of a cluster, in ticks, which comes before its blocks."""
        at = cluster.data
        while (element := self._known(self._elements.at(at))).id not in (_SIMPLE_BLOCK, _BLOCK_GROUP):
            if element.id == _TIMESTAMP:
                return _number(self._data(element))
            at = _end(element)
        raise UnfitIndex("a cluster has no time")

    def _known(self, element: Element | None) -> Element:
        if element is None or element.end is None or element.end > self._source.size:
            raise UnfitIndex("an element is not whole, or its end is unknown")
        return element

    def _data(self, element: Element, longest: int = _LONGEST_HEAD) -> memoryview:
        data = self._elements.data(self._known(element), longest)
        if data is None:
            raise UnfitIndex("an element is too long")
        return data

    def _copy(self, element: Element) -> bytes:
        self._data(element)
        return self._source.at_hand(ByteRange(element.start, _end(element)))


def _end(element: Element) -> int:
    if element.end is None:
        raise UnfitIndex("where an element ends is unknown")
    return element.end


def _number(data: memoryview | None) -> int:
    if data is not None and len(data) > 8:
        raise UnfitIndex("a number is too long")
    return int.from_bytes(data or b"", "big")
