"""Converts between the client's own types and the messages of `wildgate.v1`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from wildgate_client._source import Content, PlatformContext, Uri
from wildgate_client._verdict import (
    Action,
    BlockCheck,
    BlockMatch,
    Box,
    Coverage,
    Detection,
    EvidenceFrame,
    Fingerprint,
    FrameFingerprint,
    LabelGroup,
    LabelVerdict,
    MatchedFrame,
    Scrutiny,
    StageTiming,
    TimeSpan,
    TrackCoverage,
    Verdict,
    VideoInfo,
)
from wildgate_proto.v1 import blocks_pb2, scoring_pb2

__all__ = ["digest_request", "fingerprint_from", "score_request", "verdict_from"]

_ACTIONS = {scoring_pb2.Action.Value(f"ACTION_{action}"): action for action in Action}
_GROUPS = {scoring_pb2.LabelGroup.Value(f"LABEL_GROUP_{group}"): group for group in LabelGroup}
# Unspecified is NORMAL, also to servers that know nothing of it.
_SCRUTINIES = {Scrutiny.NORMAL: scoring_pb2.SCRUTINY_UNSPECIFIED, Scrutiny.HIGH: scoring_pb2.SCRUTINY_HIGH}


def digest_request(
    video_id: str, content_digest: str, scrutiny: Scrutiny, context: PlatformContext | None = None
) -> scoring_pb2.ScoreRequest:
    """The request for the verdict that the server's cache may hold on this content."""
    return scoring_pb2.ScoreRequest(
        video_id=video_id,
        content_digest=content_digest,
        scrutiny=_SCRUTINIES[Scrutiny(scrutiny)],
        context=_context(context),
    )


def score_request(
    video_id: str,
    source: Content | Uri,
    *,
    max_evidence_frames: int,
    scrutiny: Scrutiny,
    explain_blocks: bool = False,
    context: PlatformContext | None = None,
) -> scoring_pb2.ScoreRequest:
    """The request for one video."""
    request = scoring_pb2.ScoreRequest(
        video_id=video_id,
        max_evidence_frames=max_evidence_frames,
        scrutiny=_SCRUTINIES[Scrutiny(scrutiny)],
        explain_blocks=explain_blocks,
        context=_context(context),
    )
    match source:
        case Content():
            request.content = source.data
        case Uri():
            request.uri = source.value
    return request


def _context(context: PlatformContext | None) -> scoring_pb2.PlatformContext | None:
    return scoring_pb2.PlatformContext(**asdict(context)) if context else None


def verdict_from(message: scoring_pb2.Verdict) -> Verdict:
    """The verdict in the client's own types; actions and groups unknown to this client are `UNSPECIFIED`."""
    coverage, video = message.coverage, message.video
    return Verdict(
        action=_ACTIONS.get(message.action, Action.UNSPECIFIED),
        labels=tuple(_label_from(label) for label in message.labels),
        detections=tuple(
            Detection(d.label, d.score, d.time_s, Box(d.box.x1, d.box.y1, d.box.x2, d.box.y2), d.track)
            for d in message.detections
        ),
        coverage=Coverage(
            frames_looked_at=coverage.frames_looked_at,
            first_frame_s=coverage.first_frame_s,
            last_frame_s=coverage.last_frame_s,
            longest_gap_s=coverage.longest_gap_s,
            max_gap_s=coverage.max_gap_s,
            looked_at_s=tuple(coverage.looked_at_s),
            unsound_frames=coverage.unsound_frames,
            second_look=coverage.second_look,
            tracks=tuple(
                TrackCoverage(
                    track=track.track,
                    frames_looked_at=track.frames_looked_at,
                    first_frame_s=track.first_frame_s,
                    last_frame_s=track.last_frame_s,
                    longest_gap_s=track.longest_gap_s,
                    looked_at_s=tuple(track.looked_at_s),
                    unsound_frames=track.unsound_frames,
                )
                for track in coverage.tracks
            ),
        ),
        video=VideoInfo(
            format=video.format,
            codec=video.codec,
            width=video.width,
            height=video.height,
            rotation=video.rotation,
            mirrored=video.mirrored,
            pixel_aspect_numerator=video.pixel_aspect_numerator,
            pixel_aspect_denominator=video.pixel_aspect_denominator,
            tracks=video.tracks,
            content_bytes=video.content_bytes,
            clip_bytes=video.clip_bytes,
            read_bytes=video.read_bytes,
            read_requests=video.read_requests,
        ),
        model_version=message.model_version,
        policy_version=message.policy_version,
        content_digest=message.content_digest,
        cached=message.cached,
        timings=tuple(StageTiming(timing.stage, timing.duration_ms) for timing in message.timings),
        evidence=tuple(EvidenceFrame(frame.time_s, frame.jpeg) for frame in message.evidence),
        block_matches=tuple(map(_match_from, message.block_matches)),
        block_check=BlockCheck(
            _name(scoring_pb2.BlockCheck.State, "STATE_", message.block_check.state),
            message.block_check.position,
            message.block_check.frames_compared,
        ),
        fingerprint=fingerprint_from(message.fingerprint) if message.HasField("fingerprint") else None,
        case_id=message.case_id,
        case_handoff=_name(scoring_pb2.CaseHandoff, "CASE_HANDOFF_", message.case_handoff),
    )


def fingerprint_from(message: blocks_pb2.Fingerprint) -> Fingerprint:
    """The fingerprint in the client's own types."""
    frames = (FrameFingerprint(each.time_s, each.quality, tuple(each.hashes), each.track) for each in message.frames)
    return Fingerprint(tuple(frames), message.duration_s)


def _match_from(match: scoring_pb2.BlockMatch) -> BlockMatch:
    return BlockMatch(
        block_id=match.block_id,
        label=match.label,
        reason=match.reason,
        source=match.source,
        kind=_name(scoring_pb2.BlockMatch.Kind, "KIND_", match.kind),
        action=_ACTIONS.get(match.action, Action.UNSPECIFIED),
        frames=tuple(
            MatchedFrame(
                time_s=frame.time_s,
                original_s=frame.original_s,
                distance=frame.distance,
                regional=frame.regional,
                track=frame.track,
                jpeg=frame.jpeg,
                original_jpeg=frame.original_jpeg,
            )
            for frame in match.frames
        ),
        share=match.share,
        original=TimeSpan(match.original.start_s, match.original.end_s) if match.HasField("original") else None,
        inliers=match.inliers,
    )


def _name(kind: Any, prefix: str, value: int) -> str:
    """What an enumeration calls the value, which a newer server may have made up."""
    return str(kind.Name(value)).removeprefix(prefix) if value in kind.values() else "UNSPECIFIED"


def _label_from(label: scoring_pb2.LabelVerdict) -> LabelVerdict:
    return LabelVerdict(
        label=label.label,
        action=_ACTIONS.get(label.action, Action.UNSPECIFIED),
        score=label.score,
        group=_GROUPS.get(label.group, LabelGroup.UNSPECIFIED),
        taxon=label.taxon,
        cites_appendix=label.cites_appendix,
        frames=label.frames,
        spans=tuple(TimeSpan(span.start_s, span.end_s) for span in label.spans),
        seconds=label.seconds,
        track=label.track,
    )
