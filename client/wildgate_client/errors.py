"""The errors that a caller may have to handle.

ScoringError               status                          reason
 ├─ InvalidVideo           INVALID_ARGUMENT                NOT_A_VIDEO, CORRUPT_VIDEO, NO_VIDEO_STREAM,
 │                                                         UNSUPPORTED_CODEC, VIDEO_TOO_LARGE,
 │                                                         VIDEO_TOO_COSTLY
 ├─ InvalidRequest         INVALID_ARGUMENT                INVALID_REQUEST
 ├─ Unauthenticated        UNAUTHENTICATED                 UNAUTHENTICATED
 ├─ NotAllowed             PERMISSION_DENIED               URI_NOT_ALLOWED, ACCESS_DENIED, SAME_PERSON
 ├─ NotFound               NOT_FOUND                       FETCH_FAILED, BLOCK_NOT_FOUND, RECORD_NOT_FOUND,
 │   │                                                     QUEUE_EMPTY
 │   └─ VerdictNotCached                                   VERDICT_NOT_CACHED
 ├─ WrongState             FAILED_PRECONDITION             WRONG_STATE, CASE_HELD, LEASE_LOST
 ├─ Overloaded (*)         RESOURCE_EXHAUSTED              OVERLOADED, QUOTA_EXCEEDED, TOO_MANY_REPORTS
 ├─ Unavailable (*)        UNAVAILABLE, CANCELLED          BACKEND_UNAVAILABLE, BLOCKS_UNAVAILABLE,
 │                                                         SHUTTING_DOWN, FETCH_FAILED, ACCESS_UNAVAILABLE,
 │                                                         STORAGE_UNAVAILABLE
 ├─ DeadlineExceeded       DEADLINE_EXCEEDED               DEADLINE_EXCEEDED
 ├─ InternalError          INTERNAL, UNKNOWN, DATA_LOSS    INTERNAL
 ├─ UnexpectedAnswer       any other, or an answer that breaks the API
 └─ SourceUnreadable       none: a local file could not be read, nothing was sent

(*) `retryable`: the client retries these by itself, see `RetryPolicy`. If an answer carries no
`google.rpc.ErrorInfo` (from a proxy, or after a lost connection), the reason is the name of the status.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import grpc

__all__ = [
    "DeadlineExceeded",
    "InternalError",
    "InvalidRequest",
    "InvalidVideo",
    "NotAllowed",
    "NotFound",
    "Overloaded",
    "ScoringError",
    "SourceUnreadable",
    "Unauthenticated",
    "Unavailable",
    "UnexpectedAnswer",
    "VerdictNotCached",
    "WrongState",
]


class ScoringError(Exception):
    """A video was not scored.

    `code` is the gRPC status (`None` if nothing was sent), `reason` says which case of it this is, `metadata` holds
    its particulars, `field` names the request field at fault, and `retry_after_s` is after how many seconds the
    server asks to be tried again; the last two are `None` if the server does not say.
    """

    retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        code: grpc.StatusCode | None,
        reason: str,
        metadata: Mapping[str, str] | None = None,
        retry_after_s: float | None = None,
        field: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.reason = reason
        self.metadata = dict(metadata or {})
        self.retry_after_s = retry_after_s
        self.field = field

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"

    def __reduce__(self) -> tuple[object, ...]:
        """Keeps every field when the error is passed between processes."""
        fields = (self.code, self.reason, self.metadata, self.retry_after_s, self.field)
        return _rebuild, (type(self), self.message, *fields)


def _rebuild(
    kind: type[ScoringError],
    message: str,
    code: grpc.StatusCode | None,
    reason: str,
    metadata: dict[str, str],
    retry_after_s: float | None,
    field: str | None,
) -> ScoringError:
    return kind(message, code=code, reason=reason, metadata=metadata, retry_after_s=retry_after_s, field=field)


class InvalidVideo(ScoringError):
    """The video itself cannot be scored; sending it again would not help."""


class InvalidRequest(ScoringError):
    """A request field is missing or out of range; `field` names it."""


class Unauthenticated(ScoringError):
    """The caller's credentials are missing or not accepted."""


class NotAllowed(ScoringError):
    """The server will not do this for this caller, such as read a URI that its configuration does not allow."""


class NotFound(ScoringError):
    """There is nothing at the URI, or no such entry on the list of blocks."""


class VerdictNotCached(NotFound):
    """The server's cache has no verdict on content with this digest; send the video itself."""


class WrongState(ScoringError):
    """What the request is about is not, or no longer, in a state that allows it; nothing was changed."""


class Overloaded(ScoringError):
    """The server is full or the caller's quota is used up; no work was done for the request."""

    retryable = True


class Unavailable(ScoringError):
    """The server, or something it needs, cannot be reached at the moment."""

    retryable = True


class DeadlineExceeded(ScoringError):
    """The caller's deadline, or the server's own cap on it, passed."""


class InternalError(ScoringError):
    """Something unforeseen inside the server; its log has the details."""


class UnexpectedAnswer(ScoringError):
    """An answer that this client does not understand: not a wildgate server, or a newer one."""


class SourceUnreadable(ScoringError):
    """A local file could not be read; nothing was sent."""
