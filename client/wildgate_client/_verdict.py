"""A verdict and its parts, frozen and typed; mirrors `wildgate.v1.Verdict`.

Times are presentation seconds of the video; scores are between 0 and 1.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

__all__ = [
    "Action",
    "BlockCheck",
    "BlockMatch",
    "Box",
    "Coverage",
    "Detection",
    "EvidenceFrame",
    "Fingerprint",
    "FrameFingerprint",
    "LabelGroup",
    "LabelVerdict",
    "MatchedFrame",
    "Scrutiny",
    "StageTiming",
    "TimeSpan",
    "TrackCoverage",
    "Verdict",
    "VideoInfo",
]


class Action(enum.StrEnum):
    """What the platform should do; `UNSPECIFIED` stands for an action that this client does not know."""

    UNSPECIFIED = "UNSPECIFIED"
    ALLOW = "ALLOW"
    REVIEW = "REVIEW"
    BLOCK = "BLOCK"


class Scrutiny(enum.StrEnum):
    """How closely to look at a video: HIGH costs several times as much, for accounts and uploads that you distrust."""

    NORMAL = "NORMAL"
    HIGH = "HIGH"


class LabelGroup(enum.StrEnum):
    """What kind of thing a label stands for."""

    UNSPECIFIED = "UNSPECIFIED"
    LIVE_ANIMAL = "LIVE_ANIMAL"
    PRODUCT = "PRODUCT"


@dataclass(frozen=True, slots=True)
class TimeSpan:
    """From the first to the last looked-at frame of a stretch."""

    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class LabelVerdict:
    """A label that calls for an action, its highest score and when it was seen.

    `cites_appendix` is "I", "II", "III", a listing such as "I/II", or "" where the taxon is not listed.
    `frames` counts the looked-at frames of video track `track` with the label at or above its REVIEW threshold;
    `seconds` is for how long it was shown, as far as these vouch for it.
    """

    label: str
    action: Action
    score: float
    group: LabelGroup
    taxon: str
    cites_appendix: str
    frames: int
    spans: tuple[TimeSpan, ...]
    seconds: float
    track: int


@dataclass(frozen=True, slots=True)
class Box:
    """In the frame as viewers see it (mirrored, stretched, turned): fractions of width and height from the top left."""

    x1: float
    y1: float
    x2: float
    y2: float


@dataclass(frozen=True, slots=True)
class Detection:
    """One thing in one looked-at frame, whether or not it reached a threshold."""

    label: str
    score: float
    time_s: float
    box: Box
    track: int = 0


@dataclass(frozen=True, slots=True)
class TrackCoverage:
    """Which part of one video track was looked at; `track` is its place among the file's streams.

    `unsound_frames` were chosen and do not count as looked at: the decoder does not vouch for their pictures.
    """

    track: int
    frames_looked_at: int
    first_frame_s: float
    last_frame_s: float
    longest_gap_s: float
    looked_at_s: tuple[float, ...]
    unsound_frames: int


@dataclass(frozen=True, slots=True)
class Coverage:
    """Which part of the video was looked at: of the track that players show, where `tracks` does not name others.

    `longest_gap_s` is measured from the first to the last frame of the video. If it exceeds `max_gap_s`, the server's
    frame budget was too small for this video. `second_look` says that something was seen that called for more frames
    around it. `tracks` has each track of a video with several.
    """

    frames_looked_at: int
    first_frame_s: float
    last_frame_s: float
    longest_gap_s: float
    max_gap_s: float
    looked_at_s: tuple[float, ...]
    unsound_frames: int
    second_look: bool
    tracks: tuple[TrackCoverage, ...]


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """The video as it was given, in FFmpeg's terms.

    `width` and `height` are those of the stored picture. For display it is flipped left to right where `mirrored`, then
    turned by `rotation` degrees counter-clockwise; `pixel_aspect_numerator` to `pixel_aspect_denominator` is the shape
    of a stored pixel. `tracks` is how many video tracks were looked at. `content_bytes` is the size of the media file,
    `clip_bytes` what was passed on to the detector, and `read_bytes`, in `read_requests` requests, what was read of
    the file: by URI, only what is needed.
    """

    format: str
    codec: str
    width: int
    height: int
    rotation: int
    mirrored: bool
    pixel_aspect_numerator: int
    pixel_aspect_denominator: int
    tracks: int
    content_bytes: int
    clip_bytes: int
    read_bytes: int
    read_requests: int


@dataclass(frozen=True, slots=True)
class StageTiming:
    """How long one stage took in the server; stage names are those of its metrics."""

    stage: str
    duration_ms: float


@dataclass(frozen=True, slots=True)
class EvidenceFrame:
    """A looked-at frame as displayed, JPEG."""

    time_s: float
    jpeg: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class FrameFingerprint:
    """PDQ hashes of a frame, 32 bytes each: of the full picture, then of regions; `quality` is PDQ's, 0 to 100."""

    time_s: float
    quality: int
    hashes: tuple[bytes, ...]
    track: int = 0


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What a video is recognised by."""

    frames: tuple[FrameFingerprint, ...]
    duration_s: float = 0.0


@dataclass(frozen=True, slots=True)
class MatchedFrame:
    """A frame of the video and the one of the blocked video that it is near: `distance` of 256 bits apart.

    `regional`: only parts of the two are near. `jpeg` is this frame, `original_jpeg` the other, where they were
    asked for and there are any.
    """

    time_s: float
    original_s: float
    distance: int
    regional: bool
    track: int
    jpeg: bytes = field(default=b"", repr=False)
    original_jpeg: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class BlockMatch:
    """An entry of the list of blocks that the video is, or resembles, and how that was found.

    `kind` is EXACT (the same file), FRAMES (enough frames are near), CONFIRMED (pictures were compared, with `inliers`
    points in common) or CANDIDATE (it resembles it, and there was nothing to compare). `share` of the frames
    that can match do; `original` is where they are in the blocked video.
    """

    block_id: str
    label: str
    reason: str
    source: str
    kind: str
    action: Action
    frames: tuple[MatchedFrame, ...]
    share: float
    original: TimeSpan | None
    inliers: int


@dataclass(frozen=True, slots=True)
class BlockCheck:
    """How well the list of blocks was known when the video was looked for on it, up to change `position`.

    `state` is CURRENT, STALE (its service is away), NOT_LOADED (a blocked video may have passed) or UNSPECIFIED (there
    is none). Without `frames_compared`, only an exact copy was looked for.
    """

    state: str = "UNSPECIFIED"
    position: int = 0
    frames_compared: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the server says about one video.

    `labels` are ordered by gravest action, then highest score; `detections` by time. `content_digest` is
    "blake3:<hex>" of the video's bytes or, if the server read only parts of the video, "blake3-sampled:<hex>" of all
    that the verdict rests on; `cached` says whether the verdict came from the server's cache. `block_matches` are the
    blocked videos that this one is or resembles, gravest action first; an exact copy of one is not looked at.
    `fingerprint` is there where `explain_blocks` asked for it.

    `case_handoff` is how a REVIEW or BLOCK went on to people: OPENED, KEPT (on the gateway's disk, until a case can be
    opened), FAILED (neither; ask again later) or UNSPECIFIED (this server hands nothing over). `case_id` is the case,
    where it is known.
    """

    action: Action
    labels: tuple[LabelVerdict, ...]
    detections: tuple[Detection, ...]
    coverage: Coverage
    video: VideoInfo
    model_version: str
    policy_version: str
    content_digest: str
    cached: bool
    timings: tuple[StageTiming, ...]
    evidence: tuple[EvidenceFrame, ...]
    block_matches: tuple[BlockMatch, ...] = ()
    block_check: BlockCheck = BlockCheck()
    fingerprint: Fingerprint | None = field(default=None, repr=False)
    case_id: str = ""
    case_handoff: str = "UNSPECIFIED"
