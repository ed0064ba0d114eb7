"""What a case is opened with: what the platform said of the video, and the verdict."""

from __future__ import annotations

from wildgate_proto.v1 import cases_pb2, scoring_pb2
from wildgate_server.errors import InvalidRequest

__all__ = ["case_request", "check_context", "check_subject"]

_LONGEST_REFERENCE, _LONGEST_LANGUAGE = 512, 35


def check_context(context: scoring_pb2.PlatformContext) -> None:
    """Raises InvalidRequest where a field is longer than the protocol says, or cannot be kept by a database."""
    _check_text("context.account", context.account, _LONGEST_REFERENCE)
    _check_text("context.listing", context.listing, _LONGEST_REFERENCE)
    _check_text("context.language", context.language, _LONGEST_LANGUAGE)
    if context.views < 0:
        raise InvalidRequest(f"context.views is {context.views}", field="context.views")


def check_subject(request: scoring_pb2.ScoreRequest) -> None:
    """Raises InvalidRequest for a name of a video under which no case could be opened; it has been measured before."""
    for name, text in (("video_id", request.video_id), ("uri", request.uri)):
        if "\0" in text:
            raise InvalidRequest(f"{name} holds the character NUL", field=name)


def _check_text(name: str, text: str, longest: int) -> None:
    if len(text) > longest or "\0" in text:
        raise InvalidRequest(f"{name} is longer than {longest} characters, or holds the character NUL", field=name)


def case_request(request: scoring_pb2.ScoreRequest, verdict: scoring_pb2.Verdict) -> cases_pb2.OpenCaseRequest:
    """The request for a case. A video without a video_id is named by its digest; an ALLOW is a sample."""
    context = request.context
    return cases_pb2.OpenCaseRequest(
        subject=cases_pb2.Subject(
            video_id=request.video_id or verdict.content_digest,
            uri=request.uri,
            account=context.account,
            listing=context.listing,
            language=context.language,
            views=context.views,
            disseminating=context.disseminating,
        ),
        verdict=verdict,
        sample=verdict.action == scoring_pb2.ACTION_ALLOW,
    )
