"""A verdict and its parts, frozen and typed; mirrors `wildgate.v1.Verdict`.

Times are presentation seconds of the video; scores are between 0 and 1.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

__all__ = [
    "Action",
    "Box",
    "Coverage",
    "Detection",
    "EvidenceFrame",
    "LabelGroup",
    "LabelVerdict",
    "StageTiming",
    "TimeSpan",
    "Verdict",
    "VideoInfo",
]


class Action(enum.StrEnum):
    """What the platform should do; `UNSPECIFIED` stands for an action that this client does not know."""

    UNSPECIFIED = "UNSPECIFIED"
    ALLOW = "ALLOW"
    REVIEW = "REVIEW"
    BLOCK = "BLOCK"


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
    `frames` counts the looked-at frames with the label at or above its REVIEW threshold.
    """

    label: str
    action: Action
    score: float
    group: LabelGroup
    taxon: str
    cites_appendix: str
    frames: int
    spans: tuple[TimeSpan, ...]


@dataclass(frozen=True, slots=True)
class Box:
    """In the displayed (turned) frame: fractions of its width and height, origin at the top left."""

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


@dataclass(frozen=True, slots=True)
class Coverage:
    """Which part of the video was looked at.

    `longest_gap_s` is measured from the first to the last frame of the video. If it exceeds `max_gap_s`, the server's
    frame budget was too small for this video.
    """

    frames_looked_at: int
    first_frame_s: float
    last_frame_s: float
    longest_gap_s: float
    max_gap_s: float
    looked_at_s: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """The video as it was given, in FFmpeg's terms.

    `width` and `height` are those of the stored picture, before it is turned by `rotation` degrees counter-clockwise
    for display. `content_bytes` is the size of the media file, `clip_bytes` what was passed on to the detector, and
    `read_bytes`, in `read_requests` requests, what was read of the file: by URI, only what is needed.
    """

    format: str
    codec: str
    width: int
    height: int
    rotation: int
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
class Verdict:
    """What the server says about one video.

    `labels` are ordered by gravest action, then highest score; `detections` by time. `content_digest` is
    "blake3:<hex>" of the video's bytes or, if the server read only parts of the video, "blake3-sampled:<hex>" of all
    that the verdict rests on; `cached` says whether the verdict came from the server's cache.
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
