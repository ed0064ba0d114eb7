"""The one place that turns gRPC status and `google.rpc` details into the client's own errors."""

from __future__ import annotations

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from wildgate_client import errors

__all__ = ["error_from_rpc", "error_from_status", "error_from_trailers"]

DETAILS_KEY = "grpc-status-details-bin"
DOMAIN = "wildgate"

_BY_CODE: dict[grpc.StatusCode, type[errors.ScoringError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: errors.InvalidRequest,
    grpc.StatusCode.UNAUTHENTICATED: errors.Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: errors.NotAllowed,
    grpc.StatusCode.NOT_FOUND: errors.NotFound,
    grpc.StatusCode.FAILED_PRECONDITION: errors.WrongState,
    grpc.StatusCode.RESOURCE_EXHAUSTED: errors.Overloaded,
    grpc.StatusCode.UNAVAILABLE: errors.Unavailable,
    grpc.StatusCode.CANCELLED: errors.Unavailable,  # by a server that stops: what is cancelled here raises nothing
    grpc.StatusCode.DEADLINE_EXCEEDED: errors.DeadlineExceeded,
    grpc.StatusCode.INTERNAL: errors.InternalError,
    grpc.StatusCode.UNKNOWN: errors.InternalError,
    grpc.StatusCode.DATA_LOSS: errors.InternalError,
}
_VIDEO_REASONS = (
    *("NOT_A_VIDEO", "CORRUPT_VIDEO", "NO_VIDEO_STREAM"),
    *("UNSUPPORTED_CODEC", "VIDEO_TOO_LARGE", "VIDEO_TOO_COSTLY"),
)
# Where wildgate's own reason says more than the status.
_BY_REASON: dict[tuple[type[errors.ScoringError], str], type[errors.ScoringError]] = {
    **{(errors.InvalidRequest, reason): errors.InvalidVideo for reason in _VIDEO_REASONS},
    (errors.NotFound, "VERDICT_NOT_CACHED"): errors.VerdictNotCached,
}
_CODE_BY_NUMBER = {code.value[0]: code for code in grpc.StatusCode}


def error_from_rpc(error: grpc.aio.AioRpcError) -> errors.ScoringError:
    """The typed error of a failed call, with the details of its trailing metadata."""
    return error_from_trailers(error.code(), error.details(), error.trailing_metadata())


def error_from_trailers(
    code: grpc.StatusCode, message: str | None, trailers: grpc.aio.Metadata | None
) -> errors.ScoringError:
    """The typed error of a call that ended with this status and trailing metadata."""
    details = status_pb2.Status()
    for key, value in trailers or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            try:
                details = status_pb2.Status.FromString(value)
            except DecodeError:  # its code and message still hold
                break
    return _error(code, message or "", details)


def error_from_status(status: status_pb2.Status) -> errors.ScoringError:
    """The typed error of a failed item in a stream."""
    return _error(_CODE_BY_NUMBER.get(status.code, grpc.StatusCode.UNKNOWN), status.message, status)


def _error(code: grpc.StatusCode, message: str, details: status_pb2.Status) -> errors.ScoringError:
    info = error_details_pb2.ErrorInfo()
    bad_request = error_details_pb2.BadRequest()
    retry_info = error_details_pb2.RetryInfo()
    retry_after_s: float | None = None
    for detail in details.details:
        detail.Unpack(info)  # each fills only its own type
        detail.Unpack(bad_request)
        if detail.Unpack(retry_info):
            retry_after_s = retry_info.retry_delay.ToTimedelta().total_seconds()

    if not info.reason and _is_grpc_size_refusal(code, message):
        # grpc reports its own message limit as RESOURCE_EXHAUSTED; trying again would only send it all again.
        return errors.InvalidVideo(message, code=code, reason="VIDEO_TOO_LARGE", field="source")
    kind = _BY_CODE.get(code, errors.UnexpectedAnswer)
    if info.domain == DOMAIN:
        kind = _BY_REASON.get((kind, info.reason), kind)
    return kind(
        message,
        code=code,
        reason=info.reason or code.name,
        metadata=info.metadata,
        retry_after_s=retry_after_s,
        field=bad_request.field_violations[0].field if bad_request.field_violations else None,
    )


def _is_grpc_size_refusal(code: grpc.StatusCode, message: str) -> bool:
    """Whether grpc core's message_size filter (which has no other mark than its text) refused a message."""
    return code is grpc.StatusCode.RESOURCE_EXHAUSTED and "message larger than max" in message.lower()
