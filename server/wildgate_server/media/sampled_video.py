"""What sampling makes of a video: for each track, facts about it and the clip windows that the detector is asked about.

The types say how large each value may be: the gateway checks with pydantic what a sampling worker sends it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Annotated, Any

from wildgate_server.media.containers import CONTAINERS

__all__ = [
    "BT709",
    "MAX_TEXT",
    "SAMPLED",
    "UNKNOWN_CODING",
    "UNSPECIFIED",
    "ClipWindow",
    "Coding",
    "Display",
    "SampledTrack",
    "SampledVideo",
    "VideoLimits",
]

MAX_TEXT = 1000  # characters
SAMPLED = "blake3-sampled:"
"""What the digest of a file that was read in parts begins with."""


class _Bounded:
    """Constraints on a value, by pydantic's names for them. Workers, which start often, do without pydantic itself."""

    def __init__(self, **constraints: int) -> None:
        self._constraints = constraints

    def __get_pydantic_core_schema__(self, annotated: Any, handler: Any) -> Any:
        return {**handler(annotated), **self._constraints}


_Text = Annotated[str, _Bounded(max_length=MAX_TEXT)]
_Int32 = Annotated[int, _Bounded(ge=0, lt=1 << 31)]
_Int64 = Annotated[int, _Bounded(ge=0, lt=1 << 63)]
_Degrees = Annotated[int, _Bounded(ge=0, lt=360, multiple_of=90)]
_Seconds = Annotated[float, _Bounded(ge=0)]
_Aspect = Annotated[int, _Bounded(ge=1, lt=1 << 31)]


@dataclass(frozen=True, slots=True)
class VideoLimits:
    """What a video may hold: bytes of the file, pixels of a stored picture, seconds from first to last frame, and
    video tracks; `containers` are those that it may come in, by FFmpeg's names.
    """

    max_bytes: int
    max_pixels: int
    max_seconds: float
    max_tracks: int = 8
    containers: tuple[str, ...] = CONTAINERS


# MatrixCoefficients, ITU-T H.273, table 4; FFmpeg's AVColorSpace has the same numbers.
BT709, UNSPECIFIED = 1, 2


@dataclass(frozen=True, slots=True)
class Coding:
    """How a video's clips are coded; None stands for unknown.

    `matrix` and `transfer` are MatrixCoefficients and TransferCharacteristics of ITU-T H.273. `clean_keyframes`: every
    keyframe of the clips resets the decoder, so that a gap before it does no harm. `plain_packets`: every packet is one
    picture, and shown. `steady`: size and parameter sets are the same in all packets and in the container. `delay` is
    the largest number of places by which a frame is coded before its turn to be shown.
    """

    chroma: _Text | None = None
    bit_depth: _Int32 | None = None
    interlaced: bool | None = None
    matrix: _Int32 | None = None
    full_range: bool | None = None
    clean_keyframes: bool | None = None
    plain_packets: bool | None = None
    steady: bool | None = None
    delay: _Int32 | None = None
    transfer: _Int32 | None = None


UNKNOWN_CODING = Coding()


@dataclass(frozen=True, slots=True)
class Display:
    """How a stored picture is to be shown.

    Where `mirrored`, it is flipped left to right first; then it is turned by `rotation` degrees counter-clockwise.
    `pixel_aspect` is the shape of a stored pixel, width to height; (1, 1) is square.
    """

    rotation: _Degrees = 0
    mirrored: bool = False
    pixel_aspect: tuple[_Aspect, _Aspect] = (1, 1)

    @property
    def row(self) -> tuple[int, int, int, int]:
        """The numbers of DISPLAY, the input of `clip_decoder`."""
        return (self.rotation, int(self.mirrored), *self.pixel_aspect)


@dataclass(frozen=True, slots=True)
class ClipWindow:
    """One request row for Triton.

    `frame_index` has F places, each the rank of a frame among the clip's frames in presentation order; `times_s` are
    the presentation times of the looked-at frames, so places from `len(times_s)` on repeat the last one.
    `coded_frames` is how many frames the clip holds. `shown_s` are the seconds for which the looked-at frames are
    shown, each until the next coded frame; empty where that is not known.
    """

    clip: bytes
    frame_index: tuple[_Int32, ...]
    times_s: tuple[float, ...]
    coded_frames: _Int32
    shown_s: tuple[_Seconds, ...] = ()


@dataclass(frozen=True, slots=True)
class SampledTrack:
    """What is known about one video track without decoding it, and its windows in presentation order.

    `number` is its place among the file's streams. `width` and `height` are pixels of the stored picture, as the
    container declares them. `first_s` and `last_s` are the presentation times of its first and last frame, in
    seconds, whether they can be decoded or not; of a track that cannot be read to its end, `last_s` is the end that
    it declares. `coding` is how the windows' clips are coded, all unknown where `read_coding` is off.
    """

    number: _Int32
    codec: _Text
    profile: _Text
    width: _Int32
    height: _Int32
    display: Display
    first_s: float
    last_s: float
    windows: tuple[ClipWindow, ...]
    coding: Coding = UNKNOWN_CODING


@dataclass(frozen=True, slots=True)
class SampledVideo:
    """A media file's video tracks, sampled; the first is the one that a player shows by default.

    `content_bytes` is the size of the media file, of which `read_bytes` were read by `read_requests` requests (none
    for bytes that were handed over). `read_ms` was spent waiting for them, `sample_ms` on the rest. `content_digest`
    is "blake3:<hex>" of content that was sent, or "blake3-sampled:<hex>", for a file at a URI, of all that its verdict
    rests on.
    """

    format: _Text
    tracks: tuple[SampledTrack, ...]
    content_bytes: _Int64 = 0
    content_digest: _Text = ""
    read_bytes: _Int64 = 0
    read_requests: _Int32 = 0
    read_ms: float = 0.0
    sample_ms: float = 0.0

    @property
    def default_track(self) -> SampledTrack:
        """The track that a player shows."""
        return self.tracks[0]

    @property
    def windows(self) -> tuple[ClipWindow, ...]:
        """The windows of all tracks, one track after the other."""
        return tuple(window for track in self.tracks for window in track.windows)

    @property
    def pixels(self) -> int:
        """Pixels to be decoded, by what the container declares; windows that share a clip are decoded once."""
        return sum(
            track.width * track.height * window.coded_frames for track in self.tracks for window in _decoded(track)
        )

    @property
    def coded_bytes(self) -> int:
        """Bytes to be decoded, in the same way."""
        return sum(len(window.clip) for track in self.tracks for window in _decoded(track))

    @property
    def clip_bytes(self) -> int:
        """Bytes that go on to Triton, padding aside."""
        return sum(len(window.clip) for window in self.windows)


def _decoded(track: SampledTrack) -> Iterator[ClipWindow]:
    """One window of each clip."""
    return (next(same) for _, same in groupby(track.windows, attrgetter("clip")))
