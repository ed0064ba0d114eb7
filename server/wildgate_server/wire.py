"""Scored videos, answers and errors as messages of the API."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from google.protobuf import duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from wildgate_proto.v1 import scoring_pb2 as pb
from wildgate_server.blocking import BlockMatch, MatchPictures
from wildgate_server.blocks.entries import fingerprint_message, fingerprint_of
from wildgate_server.blocks.fingerprint import VideoFingerprint
from wildgate_server.errors import WildgateError
from wildgate_server.inference.observation import SeenTrack
from wildgate_server.media.sampled_video import SampledVideo
from wildgate_server.pipeline import Answer
from wildgate_server.policy import Action, LabelGroup, LabelJudgement, Policy
from wildgate_server.sampling.plan import longest_gap_s
from wildgate_server.scoring import ScoredVideo
from wildgate_server.stages import Stage

__all__ = [
    "ERROR_DOMAIN",
    "encoded_blocked_verdict",
    "encoded_verdict",
    "kept_fingerprint",
    "status_of",
    "verdict_for_case",
    "verdict_of",
]

ERROR_DOMAIN = "wildgate"

# Enumerations have the same names in the policy and in the protocol.
_ACTIONS = {action: f"ACTION_{action.name}" for action in Action}
_GROUPS = {group: f"LABEL_GROUP_{group.name}" for group in LabelGroup}


def encoded_verdict(scored: ScoredVideo, max_gap_s: float) -> bytes:
    """An encoded `Verdict`: what every request for the video is told.

    `max_gap_s` is the gap that the server aims at. `verdict_of` adds what is one request's own.
    """
    video, coverage = scored.video, _coverage(scored.tracks[0])
    verdict = pb.Verdict(
        action=_ACTIONS[scored.judgement.action],
        labels=[_label(label) for label in scored.judgement.labels],
        detections=[
            pb.Detection(
                label=found.label,
                score=found.score,
                time_s=found.time_s,
                track=found.track,
                box=pb.Box(x1=found.box[0], y1=found.box[1], x2=found.box[2], y2=found.box[3]),
            )
            for seen in scored.tracks
            for found in seen.detections
        ],
        coverage=pb.Coverage(
            **coverage,
            max_gap_s=max_gap_s,
            second_look=scored.second_look,
            tracks=[
                pb.TrackCoverage(track=seen.track.number, **_coverage(seen))
                for seen in scored.tracks
                if len(scored.tracks) > 1
            ],
        ),
        video=_video_info(video),
        model_version=scored.release.model_version,
        policy_version=scored.policy.version,
        content_digest=video.content_digest,
        fingerprint=fingerprint_message(scored.fingerprint) if scored.fingerprint else None,
    )
    return verdict.SerializeToString()


def encoded_blocked_verdict(content_digest: str, policy: Policy) -> bytes:
    """An encoded `Verdict` on an exact copy of a blocked video, which is not looked at."""
    return pb.Verdict(content_digest=content_digest, policy_version=policy.version).SerializeToString()


def kept_fingerprint(verdict: bytes) -> VideoFingerprint | None:
    """The fingerprint in an encoded verdict, if one was made."""
    kept = pb.Verdict.FromString(verdict)
    return fingerprint_of(kept.fingerprint) if kept.HasField("fingerprint") else None


def verdict_of(answer: Answer) -> pb.Verdict:
    """An answer as the message that one request gets."""
    verdict = pb.Verdict.FromString(answer.verdict)
    verdict.cached = answer.cached
    verdict.timings.extend(
        pb.StageTiming(stage=stage, duration_ms=answer.timings[stage]) for stage in Stage if stage in answer.timings
    )
    verdict.evidence.extend(pb.EvidenceFrame(time_s=frame.time_s, jpeg=frame.jpeg) for frame in answer.evidence)
    if not answer.explained:
        verdict.ClearField("fingerprint")
    if answer.blocks:
        matches = answer.blocks.matches
        for match in matches:
            if match.action > verdict.action:
                verdict.MergeFrom(pb.Verdict(action=_ACTIONS[match.action]))
        verdict.block_matches.extend(map(_block_match, matches))
        verdict.block_check.CopyFrom(
            pb.BlockCheck(
                state=f"STATE_{answer.blocks.state.name}",
                position=answer.blocks.position,
                frames_compared=answer.blocks.frames_compared,
            )
        )
    if answer.case:
        handoff = f"CASE_HANDOFF_{answer.case.handoff.name}"
        verdict.MergeFrom(pb.Verdict(case_id=answer.case.case_id, case_handoff=handoff))
    if answer.read:
        verdict.video.read_bytes, verdict.video.read_requests = answer.read.read_bytes, answer.read.read_requests
        if answer.read.file_bytes is not None:
            verdict.video.content_bytes = answer.read.file_bytes
    return verdict


def verdict_for_case(answer: Answer) -> pb.Verdict:
    """The answer as people get it: with pictures, and with the fingerprint that disguises are recognised by."""
    return verdict_of(replace(answer, evidence=answer.case_pictures or answer.evidence, explained=True))


def _block_match(match: BlockMatch) -> pb.BlockMatch:
    nothing = [MatchPictures()] * len(match.frames)  # pictures are of the first frames alone
    originals_s = [frame.original_s for frame in match.frames]
    return pb.BlockMatch(
        block_id=match.block.id,
        label=match.block.label,
        reason=match.block.reason,
        source=match.block.source,
        kind=f"KIND_{match.kind.name}",
        action=_ACTIONS[match.action],
        frames=[
            pb.MatchedFrame(
                track=frame.track,
                time_s=frame.time_s,
                distance=frame.distance,
                original_s=frame.original_s,
                regional=frame.regional,
                jpeg=picture.video,
                original_jpeg=picture.original,
            )
            for frame, picture in zip(match.frames, [*match.pictures, *nothing], strict=False)
        ],
        share=match.share,
        original=pb.TimeSpan(start_s=min(originals_s), end_s=max(originals_s)) if originals_s else None,
        inliers=match.inliers,
    )


def _video_info(video: SampledVideo) -> pb.VideoInfo:
    track = video.default_track
    numerator, denominator = track.display.pixel_aspect
    return pb.VideoInfo(
        format=video.format,
        codec=track.codec,
        width=track.width,
        height=track.height,
        rotation=track.display.rotation,
        mirrored=track.display.mirrored,
        pixel_aspect_numerator=numerator,
        pixel_aspect_denominator=denominator,
        tracks=len(video.tracks),
        content_bytes=video.content_bytes,
        clip_bytes=video.clip_bytes,
        read_bytes=video.read_bytes,
        read_requests=video.read_requests,
    )


def _coverage(seen: SeenTrack) -> dict[str, Any]:
    """What messages of coverage have in common."""
    track, looked_at_s = seen.track, seen.looked_at_s
    return {
        "frames_looked_at": len(looked_at_s),
        "first_frame_s": track.first_s,
        "last_frame_s": track.last_s,
        "longest_gap_s": longest_gap_s(track.first_s, looked_at_s, track.last_s),
        "looked_at_s": looked_at_s,
        "unsound_frames": len(seen.unsound_s),
    }


def _label(judged: LabelJudgement) -> pb.LabelVerdict:
    return pb.LabelVerdict(
        label=judged.label,
        action=_ACTIONS[judged.action],
        score=judged.score,
        group=_GROUPS[judged.rule.group] if judged.rule else pb.LABEL_GROUP_UNSPECIFIED,
        taxon=judged.rule.taxon if judged.rule else "",
        cites_appendix=judged.rule.cites_appendix if judged.rule else "",
        frames=judged.frames,
        seconds=judged.seconds,
        track=judged.track,
        spans=[pb.TimeSpan(start_s=start_s, end_s=end_s) for start_s, end_s in judged.spans_s],
    )


def status_of(error: WildgateError) -> status_pb2.Status:
    """The error as a `google.rpc.Status` with ErrorInfo and, where they apply, BadRequest and RetryInfo."""
    details: list[Message] = [
        error_details_pb2.ErrorInfo(reason=error.reason, domain=ERROR_DOMAIN, metadata=error.metadata)
    ]
    if error.field is not None:
        violation = error_details_pb2.BadRequest.FieldViolation(field=error.field, description=error.message)
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    if error.retry_after_s is not None:
        delay = duration_pb2.Duration()
        delay.FromNanoseconds(round(error.retry_after_s * 1e9))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    status = status_pb2.Status(code=error.status, message=error.message)
    for detail in details:
        status.details.add().Pack(detail)
    return status
