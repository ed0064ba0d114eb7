"""What can go wrong, and what the caller is told.

WildgateError                     status               reason
 ├─ InvalidVideo                  INVALID_ARGUMENT
 │   ├─ NotAVideo                                      NOT_A_VIDEO
 │   ├─ CorruptVideo                                   CORRUPT_VIDEO
 │   ├─ NoVideoStream                                  NO_VIDEO_STREAM
 │   ├─ UnsupportedCodec                               UNSUPPORTED_CODEC
 │   └─ VideoTooLarge                                  VIDEO_TOO_LARGE
 ├─ InvalidRequest                INVALID_ARGUMENT     INVALID_REQUEST
 ├─ UriNotAllowed                 PERMISSION_DENIED    URI_NOT_ALLOWED
 ├─ UriNotFound                   NOT_FOUND            FETCH_FAILED
 ├─ FetchFailed                   UNAVAILABLE          FETCH_FAILED
 ├─ VerdictNotCached              NOT_FOUND            VERDICT_NOT_CACHED
 ├─ Overloaded                    RESOURCE_EXHAUSTED   OVERLOADED
 ├─ BackendUnavailable            UNAVAILABLE          BACKEND_UNAVAILABLE
 ├─ ShuttingDown                  UNAVAILABLE          SHUTTING_DOWN
 ├─ DeadlineExceeded              DEADLINE_EXCEEDED    DEADLINE_EXCEEDED
 └─ InternalError                 INTERNAL             INTERNAL

StartError                        the gateway cannot start here and now; `wildgate serve` says so and exits 1
 └─ SettingsConflict              settings that are valid by themselves but not together; it exits 2

RowRefused is not a caller's error: Triton refused one row, and the batcher decides what that means.
Everything else that is raised is a surprise: the caller gets a fixed INTERNAL, the log gets the traceback.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import ClassVar

__all__ = [
    "BackendUnavailable",
    "CorruptVideo",
    "DeadlineExceeded",
    "FetchFailed",
    "InternalError",
    "InvalidRequest",
    "InvalidVideo",
    "NoVideoStream",
    "NotAVideo",
    "Overloaded",
    "RowRefused",
    "SettingsConflict",
    "ShuttingDown",
    "StartError",
    "Status",
    "UnsupportedCodec",
    "UriNotAllowed",
    "UriNotFound",
    "VerdictNotCached",
    "VideoTooLarge",
    "WildgateError",
]


class Status(Enum):
    """The status codes that callers are told, named and valued as in `grpc.StatusCode`.

    Sampling workers raise these errors too, and do without gRPC: importing it takes 0.1 s and 20 MB in each of them.
    """

    INVALID_ARGUMENT = (3, "invalid argument")
    DEADLINE_EXCEEDED = (4, "deadline exceeded")
    NOT_FOUND = (5, "not found")
    PERMISSION_DENIED = (7, "permission denied")
    RESOURCE_EXHAUSTED = (8, "resource exhausted")
    INTERNAL = (13, "internal")
    UNAVAILABLE = (14, "unavailable")


class WildgateError(Exception):
    """An expected failure; carries its gRPC status, its reason and what a client may act on.

    `metadata` goes into `google.rpc.ErrorInfo`, `field` names the request field at fault (`BadRequest`),
    `retry_after_s` is when trying again makes sense (`RetryInfo`).
    """

    status: ClassVar[Status]
    reason: ClassVar[str]

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

    def __reduce__(self) -> tuple[object, ...]:
        """Keeps every field when the error crosses from a sampling worker to the gateway."""
        return _rebuild, (type(self), self.message, self.metadata, self.field, self.retry_after_s)


def _rebuild(
    kind: type[WildgateError],
    message: str,
    metadata: dict[str, str],
    field: str | None,
    retry_after_s: float | None,
) -> WildgateError:
    return kind(message, metadata=metadata, field=field, retry_after_s=retry_after_s)


class InvalidVideo(WildgateError):
    """The video itself cannot be scored; sending it again gives the same answer."""

    status = Status.INVALID_ARGUMENT


class NotAVideo(InvalidVideo):
    """The bytes are no media container that FFmpeg recognises."""

    reason = "NOT_A_VIDEO"


class CorruptVideo(InvalidVideo):
    """A container, but nothing in it can be decoded."""

    reason = "CORRUPT_VIDEO"


class NoVideoStream(InvalidVideo):
    """A media file without a video stream, such as audio alone."""

    reason = "NO_VIDEO_STREAM"


class UnsupportedCodec(InvalidVideo):
    """This build has no decoder for the video's codec; names codec and profile."""

    reason = "UNSUPPORTED_CODEC"


class VideoTooLarge(InvalidVideo):
    """Too many bytes, pixels or seconds; names the limit and the value."""

    reason = "VIDEO_TOO_LARGE"

    @classmethod
    def past(cls, limit_name: str, limit: float, value: float) -> VideoTooLarge:
        """The error for `value` past the configured limit `limit_name`."""
        return cls(
            f"{limit_name} is {limit:g}, the video has {value:g}",
            metadata={"limit": limit_name, "max": f"{limit:g}", "value": f"{value:g}"},
            field="source",
        )


class InvalidRequest(WildgateError):
    """A request field is missing or out of range; names the field."""

    status = Status.INVALID_ARGUMENT
    reason = "INVALID_REQUEST"


class UriNotAllowed(WildgateError):
    """The configuration does not allow this URI to be read."""

    status = Status.PERMISSION_DENIED
    reason = "URI_NOT_ALLOWED"


class UriNotFound(WildgateError):
    """Nothing lies at the URI."""

    status = Status.NOT_FOUND
    reason = "FETCH_FAILED"


class FetchFailed(WildgateError):
    """The URI could not be read this time."""

    status = Status.UNAVAILABLE
    reason = "FETCH_FAILED"


class VerdictNotCached(WildgateError):
    """No verdict on the content is kept here; the video itself has to be sent."""

    status = Status.NOT_FOUND
    reason = "VERDICT_NOT_CACHED"


class Overloaded(WildgateError):
    """Every place is taken; the request was refused before any work was done for it."""

    status = Status.RESOURCE_EXHAUSTED
    reason = "OVERLOADED"


class BackendUnavailable(WildgateError):
    """Triton cannot be reached or cannot run the model."""

    status = Status.UNAVAILABLE
    reason = "BACKEND_UNAVAILABLE"


class ShuttingDown(WildgateError):
    """The gateway drains: work under way is finished, new work goes elsewhere."""

    status = Status.UNAVAILABLE
    reason = "SHUTTING_DOWN"


class DeadlineExceeded(WildgateError):
    """The caller's deadline, or the server's own cap on it, passed."""

    status = Status.DEADLINE_EXCEEDED
    reason = "DEADLINE_EXCEEDED"


class InternalError(WildgateError):
    """A surprise. The text is fixed; what happened is in the log."""

    status = Status.INTERNAL
    reason = "INTERNAL"

    def __init__(self) -> None:
        super().__init__("internal error; the server's log has the details")

    def __reduce__(self) -> tuple[object, ...]:
        """An internal error has no fields to keep."""
        return InternalError, ()


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
