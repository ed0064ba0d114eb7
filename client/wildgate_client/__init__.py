"""The async client of wildgate: typed verdicts, typed errors, one deadline, bounded retry."""

from wildgate_client._client import ClientOptions, ScoringClient
from wildgate_client._digest import content_digest
from wildgate_client._retry import Clock, RetryPolicy
from wildgate_client._source import Content, Source, StreamItem, Uri
from wildgate_client._stream import StreamResult
from wildgate_client._verdict import (
    Action,
    Box,
    Coverage,
    Detection,
    EvidenceFrame,
    LabelGroup,
    LabelVerdict,
    StageTiming,
    TimeSpan,
    TrackCoverage,
    Verdict,
    VideoInfo,
)
from wildgate_client.errors import (
    DeadlineExceeded,
    InternalError,
    InvalidRequest,
    InvalidVideo,
    NotAllowed,
    NotFound,
    Overloaded,
    ScoringError,
    SourceUnreadable,
    Unauthenticated,
    Unavailable,
    UnexpectedAnswer,
    VerdictNotCached,
)

__all__ = [
    "Action",
    "Box",
    "ClientOptions",
    "Clock",
    "Content",
    "Coverage",
    "DeadlineExceeded",
    "Detection",
    "EvidenceFrame",
    "InternalError",
    "InvalidRequest",
    "InvalidVideo",
    "LabelGroup",
    "LabelVerdict",
    "NotAllowed",
    "NotFound",
    "Overloaded",
    "RetryPolicy",
    "ScoringClient",
    "ScoringError",
    "Source",
    "SourceUnreadable",
    "StageTiming",
    "StreamItem",
    "StreamResult",
    "TimeSpan",
    "TrackCoverage",
    "Unauthenticated",
    "Unavailable",
    "UnexpectedAnswer",
    "Uri",
    "Verdict",
    "VerdictNotCached",
    "VideoInfo",
    "content_digest",
]
