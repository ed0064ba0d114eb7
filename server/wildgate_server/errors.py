"""What can go wrong, and what the caller is told.

WildgateError                     status               reason
 ├─ InvalidVideo                  INVALID_ARGUMENT
 │   ├─ NotAVideo                                      NOT_A_VIDEO
 │   ├─ CorruptVideo                                   CORRUPT_VIDEO
 │   ├─ NoVideoStream                                  NO_VIDEO_STREAM
 │   ├─ UnsupportedCodec                               UNSUPPORTED_CODEC
 │   ├─ VideoTooCostly                                 VIDEO_TOO_COSTLY
 │   └─ VideoTooLarge                                  VIDEO_TOO_LARGE
 ├─ InvalidRequest                INVALID_ARGUMENT     INVALID_REQUEST
 ├─ Unauthenticated               UNAUTHENTICATED      UNAUTHENTICATED
 ├─ AccessDenied                  PERMISSION_DENIED    ACCESS_DENIED
 ├─ AccessUnavailable             UNAVAILABLE          ACCESS_UNAVAILABLE
 ├─ UriNotAllowed                 PERMISSION_DENIED    URI_NOT_ALLOWED
 ├─ UriNotFound                   NOT_FOUND            FETCH_FAILED
 ├─ FetchFailed                   UNAVAILABLE          FETCH_FAILED
 ├─ VerdictNotCached              NOT_FOUND            VERDICT_NOT_CACHED
 ├─ BlockNotFound                 NOT_FOUND            BLOCK_NOT_FOUND
 ├─ BlocksUnavailable             UNAVAILABLE          BLOCKS_UNAVAILABLE
 ├─ Overloaded                    RESOURCE_EXHAUSTED   OVERLOADED
 ├─ QuotaExceeded                 RESOURCE_EXHAUSTED   QUOTA_EXCEEDED
 ├─ BackendUnavailable            UNAVAILABLE          BACKEND_UNAVAILABLE
 ├─ ShuttingDown                  UNAVAILABLE          SHUTTING_DOWN
 ├─ DeadlineExceeded              DEADLINE_EXCEEDED    DEADLINE_EXCEEDED
 └─ InternalError                 INTERNAL             INTERNAL

StartError                        the gateway cannot start here and now; `wildgate serve` says so and exits 1
 ├─ TritonStartError              the embedded Triton cannot (in `triton.runtime`)
 └─ SettingsConflict              settings that are valid by themselves but not together; it exits 2

RowRefused never reaches a caller: Triton refused one row, and the batcher decides what that means.
Everything else that is raised is a surprise: the caller gets a fixed INTERNAL, the log gets the traceback.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import ClassVar, Self

__all__ = [
    "AccessDenied",
    "AccessUnavailable",
    "BackendUnavailable",
    "BlockNotFound",
    "BlocksUnavailable",
    "CorruptVideo",
    "DeadlineExceeded",
    "FetchFailed",
    "InternalError",
    "InvalidRequest",
    "InvalidVideo",
    "NoVideoStream",
    "NotAVideo",
    "Overloaded",
    "QuotaExceeded",
    "RowRefused",
    "SettingsConflict",
    "ShuttingDown",
    "StartError",
    "Status",
    "Unauthenticated",
    "UnsupportedCodec",
    "UriNotAllowed",
    "UriNotFound",
    "VerdictNotCached",
    "VideoTooCostly",
    "VideoTooLarge",
    "WildgateError",
]


class Status(IntEnum):
    """The gRPC status codes that callers are told, by name and number.

    Sampling workers raise these errors too, and do without gRPC: importing it takes 0.1 s and 20 MB in each of them.
    """

    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    INTERNAL = 13
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


class WildgateError(Exception):
    """An expected failure; carries its gRPC status, its reason and what a client may act on.

    `metadata` goes into `google.rpc.ErrorInfo`, `field` names the request field at fault (`BadRequest`),
    `retry_after_s` is when trying again makes sense (`RetryInfo`).
    """

    status: ClassVar[Status]
    reason: ClassVar[str]

    def __init_subclass__(cls, *, status: Status | None = None, reason: str | None = None) -> None:
        if status is not None:
            cls.status = status
        if reason is not None:
            cls.reason = reason

    def __init__(
        self,
        message: str,
        *,
        metadata: Mapping[str, str] | None = None,
        field: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.metadata = dict(metadata or {})
        self.field = field
        self.retry_after_s = retry_after_s


class InvalidVideo(WildgateError, status=Status.INVALID_ARGUMENT):
    """The video itself cannot be scored; sending it again gives the same answer."""

    @classmethod
    def past(cls, limit_name: str, limit: float, value: float) -> Self:
        """The error for `value` past the configured limit `limit_name`."""
        return cls(
            f"{limit_name} is {limit:g}, the video has {value:g}",
            metadata={"limit": limit_name, "max": f"{limit:g}", "value": f"{value:g}"},
            field="source",
        )


class NotAVideo(InvalidVideo, reason="NOT_A_VIDEO"):
    """The bytes are not a media container that FFmpeg recognises."""


class CorruptVideo(InvalidVideo, reason="CORRUPT_VIDEO"):
    """A container, but nothing in it can be decoded."""


class NoVideoStream(InvalidVideo, reason="NO_VIDEO_STREAM"):
    """A media file without a video stream, such as audio alone."""


class UnsupportedCodec(InvalidVideo, reason="UNSUPPORTED_CODEC"):
    """This build has no decoder for the video's codec; names codec and profile."""


class VideoTooLarge(InvalidVideo, reason="VIDEO_TOO_LARGE"):
    """Too many bytes, pixels or seconds; names the limit and the value."""


class VideoTooCostly(InvalidVideo, reason="VIDEO_TOO_COSTLY"):
    """Reading or decoding it takes more processor time, pixels, memory or time than one video may; names the limit."""


class InvalidRequest(WildgateError, status=Status.INVALID_ARGUMENT, reason="INVALID_REQUEST"):
    """A request cannot be parsed, or a field of it is missing or out of range; names the field."""


class Unauthenticated(WildgateError, status=Status.UNAUTHENTICATED, reason="UNAUTHENTICATED"):
    """The caller's token is missing or not accepted."""


class AccessDenied(WildgateError, status=Status.PERMISSION_DENIED, reason="ACCESS_DENIED"):
    """The caller is known and may not do this."""


class AccessUnavailable(WildgateError, status=Status.UNAVAILABLE, reason="ACCESS_UNAVAILABLE"):
    """Tokens cannot be checked now: the keys that they are checked with are not known."""


class UriNotAllowed(WildgateError, status=Status.PERMISSION_DENIED, reason="URI_NOT_ALLOWED"):
    """The configuration does not allow this URI to be read."""


class UriNotFound(WildgateError, status=Status.NOT_FOUND, reason="FETCH_FAILED"):
    """There is nothing at the URI that can be read; trying again gives the same answer."""


class FetchFailed(WildgateError, status=Status.UNAVAILABLE, reason="FETCH_FAILED"):
    """The URI could not be read this time; trying again may help."""


class VerdictNotCached(WildgateError, status=Status.NOT_FOUND, reason="VERDICT_NOT_CACHED"):
    """No verdict on the content is cached; the video itself has to be sent."""


class BlockNotFound(WildgateError, status=Status.NOT_FOUND, reason="BLOCK_NOT_FOUND"):
    """No entry of the list of blocks has this id."""


class BlocksUnavailable(WildgateError, status=Status.UNAVAILABLE, reason="BLOCKS_UNAVAILABLE"):
    """The list of blocks cannot be changed now: its disk refuses, or its service is away. Nothing was changed."""


class Overloaded(WildgateError, status=Status.RESOURCE_EXHAUSTED, reason="OVERLOADED"):
    """The server is full; the request was refused before any work was done for it."""


class QuotaExceeded(WildgateError, status=Status.RESOURCE_EXHAUSTED, reason="QUOTA_EXCEEDED"):
    """The caller's tenant has had its share for now."""


class BackendUnavailable(WildgateError, status=Status.UNAVAILABLE, reason="BACKEND_UNAVAILABLE"):
    """Triton cannot be reached or cannot run the model."""


class ShuttingDown(WildgateError, status=Status.UNAVAILABLE, reason="SHUTTING_DOWN"):
    """The gateway drains: work under way is finished, new work goes elsewhere."""


class DeadlineExceeded(WildgateError, status=Status.DEADLINE_EXCEEDED, reason="DEADLINE_EXCEEDED"):
    """The caller's deadline, or the server's own cap on it, passed."""


class InternalError(WildgateError, status=Status.INTERNAL, reason="INTERNAL"):
    """A surprise. The text is fixed; what happened is in the log."""

    def __init__(self) -> None:
        super().__init__("internal error; the server's log has the details")


class RowRefused(Exception):
    """Triton refused a batch because of what a row holds; `unsupported` when it lacks the codec.

    One bad row fails its whole batch in Triton, so the batcher asks again row by row to learn which.
    """

    def __init__(self, message: str, *, unsupported: bool = False) -> None:
        super().__init__(message)
        self.unsupported = unsupported


class StartError(Exception):
    """The gateway cannot start here and now; names what is in the way."""


class SettingsConflict(StartError):
    """Settings that are valid by themselves but not together."""
