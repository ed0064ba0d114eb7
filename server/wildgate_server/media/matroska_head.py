"""What a Matroska or WebM file says before its first frame, and its cues, wherever they lie. Elements: RFC 9559."""

from __future__ import annotations

from dataclasses import dataclass

from wildgate_server.media.ebml import Element, ElementReader, children, number
from wildgate_server.media.sample import UnfitIndex
from wildgate_server.source.byte_source import ByteRange, ByteSource

__all__ = [
    "BETWEEN_CLUSTERS",
    "CLUSTER",
    "CLUSTER_ID",
    "MOST_ELEMENTS",
    "Cue",
    "MatroskaHead",
    "is_cut_short",
    "is_matroska",
    "read_head",
]

CLUSTER = 0x1F43B675
CLUSTER_ID = CLUSTER.to_bytes(4, "big")
MOST_ELEMENTS = 1 << 10
_EBML, _SEGMENT, _SEEK_HEAD, _INFO, _TRACKS = 0x1A45DFA3, 0x18538067, 0x114D9B74, 0x1549A966, 0x1654AE6B
_CUES, _SEEK, _SEEK_ID, _SEEK_POSITION = 0x1C53BB6B, 0x4DBB, 0x53AB, 0x53AC
_TIMESTAMP_SCALE = 0x2AD7B1
_TRACK_ENTRY, _TRACK_NUMBER, _TRACK_TYPE, _CODEC_ID = 0xAE, 0xD7, 0x83, 0x86
_CUE_POINT, _CUE_TIME, _CUE_POSITIONS = 0xBB, 0xB3, 0xB7
_CUE_TRACK, _CUE_CLUSTER, _CUE_RELATIVE = 0xF7, 0xF1, 0xF0
# Void, CRC-32, attachments, chapters, tags
BETWEEN_CLUSTERS = frozenset({_SEEK_HEAD, _CUES, 0xEC, 0xBF, 0x1941A469, 0x1043A770, 0x1254C367})

_VIDEO = 1
_LONGEST_HEAD = 1 << 20  # of what lies before the frames, without attachments
_LONGEST_CUES = 4 << 20
# Codecs whose frames are shown in the order they are coded in; others may be shown up to 16 frames later.
_IN_ORDER = frozenset({b"V_VP8", b"V_VP9", b"V_AV1"})
_REORDERED_FRAMES = 17
_UNKNOWN_SIZE = b"\x01" + b"\xff" * 7


def is_matroska(source: ByteSource) -> bool:
    """Whether a file begins as Matroska and WebM files do."""
    return source.ahead(0, 4) == _EBML.to_bytes(4, "big")


def is_cut_short(source: ByteSource) -> bool:
    """Whether a Matroska file says that it is longer than it is."""
    elements = ElementReader(source)
    header = elements.at(0)
    segment = None if header is None or header.end is None else elements.at(header.end)
    return segment is not None and segment.end is not None and segment.end > source.size


@dataclass(frozen=True, slots=True)
class Cue:
    """A keyframe: when it is shown (in ticks), its cluster, and its place in that cluster's data, if known."""

    ticks: int
    cluster: int
    relative: int | None


@dataclass(slots=True)
class MatroskaHead:
    """What all clusters depend on, for the one video track of a file.

    `content` begins a file of the same kind; `tick_ns` is a tick in nanoseconds; a frame is shown less than `reorder`
    frames after its turn to be decoded. `cues` are in order.
    """

    content: bytes
    tick_ns: int = 1_000_000
    track: int = 0
    reorder: int = _REORDERED_FRAMES
    cues: tuple[Cue, ...] = ()
    first_cluster: int = 0


def read_head(source: ByteSource) -> MatroskaHead:
    """Reads everything before the first cluster, and the cues. Raises UnfitIndex where that is not all there."""
    elements = ElementReader(source)
    header = elements.whole(0)
    segment = elements.at(header.known_end)
    if segment is None or segment.id != _SEGMENT or segment.end not in (None, source.size):
        raise UnfitIndex("no segment, or not one up to the end of the file")

    def copied(element: Element) -> bytes:
        elements.data(element, _LONGEST_HEAD)
        return source.at_hand(ByteRange(element.start, element.known_end))

    head = MatroskaHead(copied(header) + _SEGMENT.to_bytes(4, "big") + _UNKNOWN_SIZE)
    cues: Element | None = None
    at = segment.data
    for _ in range(MOST_ELEMENTS):
        element = elements.at(at)
        if element is None or element.id == CLUSTER:
            break
        if element.id == _SEEK_HEAD:
            cues = _sought(elements, element, segment.data) or cues
        elif element.id == _CUES:
            cues = element
        elif element.id in (_INFO, _TRACKS):
            head.content += copied(element)
            data = elements.data(element, _LONGEST_HEAD)
            (_read_info if element.id == _INFO else _read_tracks)(head, data)
        at = element.known_end
    if not head.track or cues is None:
        raise UnfitIndex("no cues, or no single video track")
    head.first_cluster = at
    head.cues = _cues(elements.data(cues, _LONGEST_CUES), segment.data, head.track)
    return head


def _sought(elements: ElementReader, seek_head: Element, base: int) -> Element | None:
    """The cues, where a seek head names them."""
    for identity, seek in children(elements.data(seek_head, _LONGEST_HEAD)):
        fields = dict(children(seek)) if identity == _SEEK else {}
        if bytes(fields.get(_SEEK_ID, b"")) == _CUES.to_bytes(4, "big"):
            element = elements.at(base + number(fields.get(_SEEK_POSITION)))
            return element if element is not None and element.id == _CUES else None
    return None


def _read_info(head: MatroskaHead, info: memoryview) -> None:
    if (scale := dict(children(info)).get(_TIMESTAMP_SCALE)) is not None:
        head.tick_ns = number(scale)


def _read_tracks(head: MatroskaHead, tracks: memoryview) -> None:
    entries = [dict(children(data)) for identity, data in children(tracks) if identity == _TRACK_ENTRY]
    videos = [entry for entry in entries if number(entry.get(_TRACK_TYPE)) == _VIDEO]
    if len(videos) != 1:
        raise UnfitIndex("not one video track")
    head.track = number(videos[0].get(_TRACK_NUMBER))
    if bytes(videos[0].get(_CODEC_ID, b"")).rstrip(b"\0") in _IN_ORDER:
        head.reorder = 1


def _cues(cues: memoryview, base: int, track: int) -> tuple[Cue, ...]:
    found: dict[int, Cue] = {}
    for identity, point in children(cues):
        if identity != _CUE_POINT:
            continue
        ticks = number(dict(children(point)).get(_CUE_TIME))
        for kind, data in children(point):
            fields = dict(children(data)) if kind == _CUE_POSITIONS else {}
            if number(fields.get(_CUE_TRACK)) == track:
                relative = fields.get(_CUE_RELATIVE)
                place = base + number(fields.get(_CUE_CLUSTER))
                found[ticks] = Cue(ticks, place, None if relative is None else number(relative))
    ordered = tuple(found[ticks] for ticks in sorted(found))
    places = [(cue.cluster, cue.relative or 0) for cue in ordered]
    if not places or places != sorted(places):
        raise UnfitIndex("no cues, or cues in no order")
    return ordered
