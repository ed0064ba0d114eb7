from google.rpc import status_pb2 as _status_pb2
from wildgate_proto.v1 import blocks_pb2 as _blocks_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Scrutiny(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SCRUTINY_UNSPECIFIED: _ClassVar[Scrutiny]
    SCRUTINY_NORMAL: _ClassVar[Scrutiny]
    SCRUTINY_HIGH: _ClassVar[Scrutiny]

class Action(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ACTION_UNSPECIFIED: _ClassVar[Action]
    ACTION_ALLOW: _ClassVar[Action]
    ACTION_REVIEW: _ClassVar[Action]
    ACTION_BLOCK: _ClassVar[Action]

class LabelGroup(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LABEL_GROUP_UNSPECIFIED: _ClassVar[LabelGroup]
    LABEL_GROUP_LIVE_ANIMAL: _ClassVar[LabelGroup]
    LABEL_GROUP_PRODUCT: _ClassVar[LabelGroup]

class CaseHandoff(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CASE_HANDOFF_UNSPECIFIED: _ClassVar[CaseHandoff]
    CASE_HANDOFF_OPENED: _ClassVar[CaseHandoff]
    CASE_HANDOFF_KEPT: _ClassVar[CaseHandoff]
    CASE_HANDOFF_FAILED: _ClassVar[CaseHandoff]
SCRUTINY_UNSPECIFIED: Scrutiny
SCRUTINY_NORMAL: Scrutiny
SCRUTINY_HIGH: Scrutiny
ACTION_UNSPECIFIED: Action
ACTION_ALLOW: Action
ACTION_REVIEW: Action
ACTION_BLOCK: Action
LABEL_GROUP_UNSPECIFIED: LabelGroup
LABEL_GROUP_LIVE_ANIMAL: LabelGroup
LABEL_GROUP_PRODUCT: LabelGroup
CASE_HANDOFF_UNSPECIFIED: CaseHandoff
CASE_HANDOFF_OPENED: CaseHandoff
CASE_HANDOFF_KEPT: CaseHandoff
CASE_HANDOFF_FAILED: CaseHandoff

class ScoreRequest(_message.Message):
    __slots__ = ("video_id", "content", "uri", "content_digest", "max_evidence_frames", "scrutiny", "explain_blocks", "context")
    VIDEO_ID_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    URI_FIELD_NUMBER: _ClassVar[int]
    CONTENT_DIGEST_FIELD_NUMBER: _ClassVar[int]
    MAX_EVIDENCE_FRAMES_FIELD_NUMBER: _ClassVar[int]
    SCRUTINY_FIELD_NUMBER: _ClassVar[int]
    EXPLAIN_BLOCKS_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    video_id: str
    content: bytes
    uri: str
    content_digest: str
    max_evidence_frames: int
    scrutiny: Scrutiny
    explain_blocks: bool
    context: PlatformContext
    def __init__(self, video_id: _Optional[str] = ..., content: _Optional[bytes] = ..., uri: _Optional[str] = ..., content_digest: _Optional[str] = ..., max_evidence_frames: _Optional[int] = ..., scrutiny: _Optional[_Union[Scrutiny, str]] = ..., explain_blocks: _Optional[bool] = ..., context: _Optional[_Union[PlatformContext, _Mapping]] = ...) -> None: ...

class PlatformContext(_message.Message):
    __slots__ = ("account", "listing", "language", "views", "disseminating")
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    LISTING_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    VIEWS_FIELD_NUMBER: _ClassVar[int]
    DISSEMINATING_FIELD_NUMBER: _ClassVar[int]
    account: str
    listing: str
    language: str
    views: int
    disseminating: bool
    def __init__(self, account: _Optional[str] = ..., listing: _Optional[str] = ..., language: _Optional[str] = ..., views: _Optional[int] = ..., disseminating: _Optional[bool] = ...) -> None: ...

class ScoreResponse(_message.Message):
    __slots__ = ("video_id", "verdict")
    VIDEO_ID_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    video_id: str
    verdict: Verdict
    def __init__(self, video_id: _Optional[str] = ..., verdict: _Optional[_Union[Verdict, _Mapping]] = ...) -> None: ...

class ScoreStreamRequest(_message.Message):
    __slots__ = ("request",)
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    request: ScoreRequest
    def __init__(self, request: _Optional[_Union[ScoreRequest, _Mapping]] = ...) -> None: ...

class ScoreStreamResponse(_message.Message):
    __slots__ = ("video_id", "verdict", "error")
    VIDEO_ID_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    video_id: str
    verdict: Verdict
    error: _status_pb2.Status
    def __init__(self, video_id: _Optional[str] = ..., verdict: _Optional[_Union[Verdict, _Mapping]] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

class Verdict(_message.Message):
    __slots__ = ("action", "labels", "detections", "coverage", "video", "model_version", "policy_version", "content_digest", "cached", "timings", "evidence", "block_matches", "block_check", "fingerprint", "case_id", "case_handoff")
    ACTION_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    DETECTIONS_FIELD_NUMBER: _ClassVar[int]
    COVERAGE_FIELD_NUMBER: _ClassVar[int]
    VIDEO_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    POLICY_VERSION_FIELD_NUMBER: _ClassVar[int]
    CONTENT_DIGEST_FIELD_NUMBER: _ClassVar[int]
    CACHED_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    BLOCK_MATCHES_FIELD_NUMBER: _ClassVar[int]
    BLOCK_CHECK_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    CASE_ID_FIELD_NUMBER: _ClassVar[int]
    CASE_HANDOFF_FIELD_NUMBER: _ClassVar[int]
    action: Action
    labels: _containers.RepeatedCompositeFieldContainer[LabelVerdict]
    detections: _containers.RepeatedCompositeFieldContainer[Detection]
    coverage: Coverage
    video: VideoInfo
    model_version: str
    policy_version: str
    content_digest: str
    cached: bool
    timings: _containers.RepeatedCompositeFieldContainer[StageTiming]
    evidence: _containers.RepeatedCompositeFieldContainer[EvidenceFrame]
    block_matches: _containers.RepeatedCompositeFieldContainer[BlockMatch]
    block_check: BlockCheck
    fingerprint: _blocks_pb2.Fingerprint
    case_id: str
    case_handoff: CaseHandoff
    def __init__(self, action: _Optional[_Union[Action, str]] = ..., labels: _Optional[_Iterable[_Union[LabelVerdict, _Mapping]]] = ..., detections: _Optional[_Iterable[_Union[Detection, _Mapping]]] = ..., coverage: _Optional[_Union[Coverage, _Mapping]] = ..., video: _Optional[_Union[VideoInfo, _Mapping]] = ..., model_version: _Optional[str] = ..., policy_version: _Optional[str] = ..., content_digest: _Optional[str] = ..., cached: _Optional[bool] = ..., timings: _Optional[_Iterable[_Union[StageTiming, _Mapping]]] = ..., evidence: _Optional[_Iterable[_Union[EvidenceFrame, _Mapping]]] = ..., block_matches: _Optional[_Iterable[_Union[BlockMatch, _Mapping]]] = ..., block_check: _Optional[_Union[BlockCheck, _Mapping]] = ..., fingerprint: _Optional[_Union[_blocks_pb2.Fingerprint, _Mapping]] = ..., case_id: _Optional[str] = ..., case_handoff: _Optional[_Union[CaseHandoff, str]] = ...) -> None: ...

class BlockMatch(_message.Message):
    __slots__ = ("block_id", "label", "reason", "source", "kind", "action", "frames", "share", "original", "inliers")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[BlockMatch.Kind]
        KIND_EXACT: _ClassVar[BlockMatch.Kind]
        KIND_FRAMES: _ClassVar[BlockMatch.Kind]
        KIND_CONFIRMED: _ClassVar[BlockMatch.Kind]
        KIND_CANDIDATE: _ClassVar[BlockMatch.Kind]
    KIND_UNSPECIFIED: BlockMatch.Kind
    KIND_EXACT: BlockMatch.Kind
    KIND_FRAMES: BlockMatch.Kind
    KIND_CONFIRMED: BlockMatch.Kind
    KIND_CANDIDATE: BlockMatch.Kind
    BLOCK_ID_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    ORIGINAL_FIELD_NUMBER: _ClassVar[int]
    INLIERS_FIELD_NUMBER: _ClassVar[int]
    block_id: str
    label: str
    reason: str
    source: str
    kind: BlockMatch.Kind
    action: Action
    frames: _containers.RepeatedCompositeFieldContainer[MatchedFrame]
    share: float
    original: TimeSpan
    inliers: int
    def __init__(self, block_id: _Optional[str] = ..., label: _Optional[str] = ..., reason: _Optional[str] = ..., source: _Optional[str] = ..., kind: _Optional[_Union[BlockMatch.Kind, str]] = ..., action: _Optional[_Union[Action, str]] = ..., frames: _Optional[_Iterable[_Union[MatchedFrame, _Mapping]]] = ..., share: _Optional[float] = ..., original: _Optional[_Union[TimeSpan, _Mapping]] = ..., inliers: _Optional[int] = ...) -> None: ...

class MatchedFrame(_message.Message):
    __slots__ = ("track", "time_s", "distance", "original_s", "regional", "jpeg", "original_jpeg")
    TRACK_FIELD_NUMBER: _ClassVar[int]
    TIME_S_FIELD_NUMBER: _ClassVar[int]
    DISTANCE_FIELD_NUMBER: _ClassVar[int]
    ORIGINAL_S_FIELD_NUMBER: _ClassVar[int]
    REGIONAL_FIELD_NUMBER: _ClassVar[int]
    JPEG_FIELD_NUMBER: _ClassVar[int]
    ORIGINAL_JPEG_FIELD_NUMBER: _ClassVar[int]
    track: int
    time_s: float
    distance: int
    original_s: float
    regional: bool
    jpeg: bytes
    original_jpeg: bytes
    def __init__(self, track: _Optional[int] = ..., time_s: _Optional[float] = ..., distance: _Optional[int] = ..., original_s: _Optional[float] = ..., regional: _Optional[bool] = ..., jpeg: _Optional[bytes] = ..., original_jpeg: _Optional[bytes] = ...) -> None: ...

class BlockCheck(_message.Message):
    __slots__ = ("state", "position", "frames_compared")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[BlockCheck.State]
        STATE_CURRENT: _ClassVar[BlockCheck.State]
        STATE_STALE: _ClassVar[BlockCheck.State]
        STATE_NOT_LOADED: _ClassVar[BlockCheck.State]
    STATE_UNSPECIFIED: BlockCheck.State
    STATE_CURRENT: BlockCheck.State
    STATE_STALE: BlockCheck.State
    STATE_NOT_LOADED: BlockCheck.State
    STATE_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    FRAMES_COMPARED_FIELD_NUMBER: _ClassVar[int]
    state: BlockCheck.State
    position: int
    frames_compared: bool
    def __init__(self, state: _Optional[_Union[BlockCheck.State, str]] = ..., position: _Optional[int] = ..., frames_compared: _Optional[bool] = ...) -> None: ...

class LabelVerdict(_message.Message):
    __slots__ = ("label", "action", "score", "group", "taxon", "cites_appendix", "frames", "spans", "seconds", "track")
    LABEL_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    TAXON_FIELD_NUMBER: _ClassVar[int]
    CITES_APPENDIX_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    SPANS_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    TRACK_FIELD_NUMBER: _ClassVar[int]
    label: str
    action: Action
    score: float
    group: LabelGroup
    taxon: str
    cites_appendix: str
    frames: int
    spans: _containers.RepeatedCompositeFieldContainer[TimeSpan]
    seconds: float
    track: int
    def __init__(self, label: _Optional[str] = ..., action: _Optional[_Union[Action, str]] = ..., score: _Optional[float] = ..., group: _Optional[_Union[LabelGroup, str]] = ..., taxon: _Optional[str] = ..., cites_appendix: _Optional[str] = ..., frames: _Optional[int] = ..., spans: _Optional[_Iterable[_Union[TimeSpan, _Mapping]]] = ..., seconds: _Optional[float] = ..., track: _Optional[int] = ...) -> None: ...

class TimeSpan(_message.Message):
    __slots__ = ("start_s", "end_s")
    START_S_FIELD_NUMBER: _ClassVar[int]
    END_S_FIELD_NUMBER: _ClassVar[int]
    start_s: float
    end_s: float
    def __init__(self, start_s: _Optional[float] = ..., end_s: _Optional[float] = ...) -> None: ...

class Detection(_message.Message):
    __slots__ = ("label", "score", "time_s", "box", "track")
    LABEL_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    TIME_S_FIELD_NUMBER: _ClassVar[int]
    BOX_FIELD_NUMBER: _ClassVar[int]
    TRACK_FIELD_NUMBER: _ClassVar[int]
    label: str
    score: float
    time_s: float
    box: Box
    track: int
    def __init__(self, label: _Optional[str] = ..., score: _Optional[float] = ..., time_s: _Optional[float] = ..., box: _Optional[_Union[Box, _Mapping]] = ..., track: _Optional[int] = ...) -> None: ...

class Box(_message.Message):
    __slots__ = ("x1", "y1", "x2", "y2")
    X1_FIELD_NUMBER: _ClassVar[int]
    Y1_FIELD_NUMBER: _ClassVar[int]
    X2_FIELD_NUMBER: _ClassVar[int]
    Y2_FIELD_NUMBER: _ClassVar[int]
    x1: float
    y1: float
    x2: float
    y2: float
    def __init__(self, x1: _Optional[float] = ..., y1: _Optional[float] = ..., x2: _Optional[float] = ..., y2: _Optional[float] = ...) -> None: ...

class Coverage(_message.Message):
    __slots__ = ("frames_looked_at", "first_frame_s", "last_frame_s", "longest_gap_s", "max_gap_s", "looked_at_s", "unsound_frames", "second_look", "tracks")
    FRAMES_LOOKED_AT_FIELD_NUMBER: _ClassVar[int]
    FIRST_FRAME_S_FIELD_NUMBER: _ClassVar[int]
    LAST_FRAME_S_FIELD_NUMBER: _ClassVar[int]
    LONGEST_GAP_S_FIELD_NUMBER: _ClassVar[int]
    MAX_GAP_S_FIELD_NUMBER: _ClassVar[int]
    LOOKED_AT_S_FIELD_NUMBER: _ClassVar[int]
    UNSOUND_FRAMES_FIELD_NUMBER: _ClassVar[int]
    SECOND_LOOK_FIELD_NUMBER: _ClassVar[int]
    TRACKS_FIELD_NUMBER: _ClassVar[int]
    frames_looked_at: int
    first_frame_s: float
    last_frame_s: float
    longest_gap_s: float
    max_gap_s: float
    looked_at_s: _containers.RepeatedScalarFieldContainer[float]
    unsound_frames: int
    second_look: bool
    tracks: _containers.RepeatedCompositeFieldContainer[TrackCoverage]
    def __init__(self, frames_looked_at: _Optional[int] = ..., first_frame_s: _Optional[float] = ..., last_frame_s: _Optional[float] = ..., longest_gap_s: _Optional[float] = ..., max_gap_s: _Optional[float] = ..., looked_at_s: _Optional[_Iterable[float]] = ..., unsound_frames: _Optional[int] = ..., second_look: _Optional[bool] = ..., tracks: _Optional[_Iterable[_Union[TrackCoverage, _Mapping]]] = ...) -> None: ...

class TrackCoverage(_message.Message):
    __slots__ = ("track", "frames_looked_at", "first_frame_s", "last_frame_s", "longest_gap_s", "looked_at_s", "unsound_frames")
    TRACK_FIELD_NUMBER: _ClassVar[int]
    FRAMES_LOOKED_AT_FIELD_NUMBER: _ClassVar[int]
    FIRST_FRAME_S_FIELD_NUMBER: _ClassVar[int]
    LAST_FRAME_S_FIELD_NUMBER: _ClassVar[int]
    LONGEST_GAP_S_FIELD_NUMBER: _ClassVar[int]
    LOOKED_AT_S_FIELD_NUMBER: _ClassVar[int]
    UNSOUND_FRAMES_FIELD_NUMBER: _ClassVar[int]
    track: int
    frames_looked_at: int
    first_frame_s: float
    last_frame_s: float
    longest_gap_s: float
    looked_at_s: _containers.RepeatedScalarFieldContainer[float]
    unsound_frames: int
    def __init__(self, track: _Optional[int] = ..., frames_looked_at: _Optional[int] = ..., first_frame_s: _Optional[float] = ..., last_frame_s: _Optional[float] = ..., longest_gap_s: _Optional[float] = ..., looked_at_s: _Optional[_Iterable[float]] = ..., unsound_frames: _Optional[int] = ...) -> None: ...

class VideoInfo(_message.Message):
    __slots__ = ("format", "codec", "width", "height", "rotation", "mirrored", "pixel_aspect_numerator", "pixel_aspect_denominator", "tracks", "content_bytes", "clip_bytes", "read_bytes", "read_requests")
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    CODEC_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    ROTATION_FIELD_NUMBER: _ClassVar[int]
    MIRRORED_FIELD_NUMBER: _ClassVar[int]
    PIXEL_ASPECT_NUMERATOR_FIELD_NUMBER: _ClassVar[int]
    PIXEL_ASPECT_DENOMINATOR_FIELD_NUMBER: _ClassVar[int]
    TRACKS_FIELD_NUMBER: _ClassVar[int]
    CONTENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    CLIP_BYTES_FIELD_NUMBER: _ClassVar[int]
    READ_BYTES_FIELD_NUMBER: _ClassVar[int]
    READ_REQUESTS_FIELD_NUMBER: _ClassVar[int]
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
    def __init__(self, format: _Optional[str] = ..., codec: _Optional[str] = ..., width: _Optional[int] = ..., height: _Optional[int] = ..., rotation: _Optional[int] = ..., mirrored: _Optional[bool] = ..., pixel_aspect_numerator: _Optional[int] = ..., pixel_aspect_denominator: _Optional[int] = ..., tracks: _Optional[int] = ..., content_bytes: _Optional[int] = ..., clip_bytes: _Optional[int] = ..., read_bytes: _Optional[int] = ..., read_requests: _Optional[int] = ...) -> None: ...

class StageTiming(_message.Message):
    __slots__ = ("stage", "duration_ms")
    STAGE_FIELD_NUMBER: _ClassVar[int]
    DURATION_MS_FIELD_NUMBER: _ClassVar[int]
    stage: str
    duration_ms: float
    def __init__(self, stage: _Optional[str] = ..., duration_ms: _Optional[float] = ...) -> None: ...

class EvidenceFrame(_message.Message):
    __slots__ = ("time_s", "jpeg")
    TIME_S_FIELD_NUMBER: _ClassVar[int]
    JPEG_FIELD_NUMBER: _ClassVar[int]
    time_s: float
    jpeg: bytes
    def __init__(self, time_s: _Optional[float] = ..., jpeg: _Optional[bytes] = ...) -> None: ...
