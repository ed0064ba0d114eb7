"""What callers read: every field of a verdict, and errors with the details that a client acts on."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from scored_videos import FINGERPRINT, POLICY, scored_video, seen_track

from wildgate_proto.v1 import blocks_pb2 as block_pb
from wildgate_proto.v1 import scoring_pb2 as pb
from wildgate_server.blocking import BlockMatch, Findings, MatchKind, MatchPictures
from wildgate_server.blocks.entries import fingerprint_message
from wildgate_server.blocks.follower import BlockState
from wildgate_server.blocks.matching import MatchedFrame
from wildgate_server.enforcement.handoff import HandedOver, Handoff
from wildgate_server.errors import NotAVideo, Overloaded, VideoTooLarge, WildgateError
from wildgate_server.inference.evidence import EvidenceFrame
from wildgate_server.inference.observation import SeenTrack
from wildgate_server.pipeline import Answer, ReadCost
from wildgate_server.policy import Action, Judgement, LabelGroup, LabelJudgement
from wildgate_server.stages import Stage
from wildgate_server.wire import (
    encoded_blocked_verdict,
    encoded_verdict,
    kept_fingerprint,
    status_of,
    verdict_for_case,
    verdict_of,
)

Detail = TypeVar("Detail", bound=Message)


def detail(status: status_pb2.Status, kind: type[Detail]) -> Detail:
    """The status's only detail of a kind."""
    found = kind()
    assert [packed.Unpack(found) for packed in status.details].count(True) == 1
    return found


def test_a_verdict_carries_everything() -> None:
    verdict = pb.Verdict.FromString(encoded_verdict(scored_video(), max_gap_s=2.5))
    horn = pb.LabelVerdict(
        label="rhino_horn",
        action=pb.ACTION_BLOCK,
        score=0.75,
        group=pb.LABEL_GROUP_PRODUCT,
        taxon="Rhinocerotidae",
        cites_appendix="I/II",
        frames=2,
        spans=[pb.TimeSpan(start_s=2.0, end_s=3.5)],
        seconds=1.5,
    )
    bear = pb.LabelVerdict(
        label="live_bear",
        action=pb.ACTION_REVIEW,
        score=0.5,
        group=pb.LABEL_GROUP_LIVE_ANIMAL,
        taxon="Ursidae",
        cites_appendix="I/II",
        frames=1,
        spans=[pb.TimeSpan(start_s=0.0, end_s=0.0)],
    )
    box = pb.Box(x1=0.125, y1=0.25, x2=0.5, y2=1.0)
    assert verdict == pb.Verdict(
        action=pb.ACTION_BLOCK,
        labels=[horn, bear],
        detections=[pb.Detection(label="rhino_horn", score=0.75, time_s=2.0, box=box)],
        coverage=pb.Coverage(
            frames_looked_at=3,
            first_frame_s=0.0,
            last_frame_s=4.25,
            longest_gap_s=2.0,
            max_gap_s=2.5,
            looked_at_s=[0.0, 2.0, 3.5],
        ),
        video=pb.VideoInfo(
            format="mov",
            codec="h264",
            width=320,
            height=240,
            rotation=90,
            mirrored=True,
            pixel_aspect_numerator=1,
            pixel_aspect_denominator=1,
            tracks=1,
            content_bytes=1000,
            clip_bytes=4,
            read_bytes=300,
            read_requests=2,
        ),
        model_version="m/1",
        policy_version="p1",
        content_digest="blake3:00",
        fingerprint=fingerprint_message(FINGERPRINT),
    )


def test_of_several_tracks_each_has_its_coverage() -> None:
    default = seen_track()
    [window] = default.windows
    other = SeenTrack(replace(default.track, number=2, last_s=9.0), (replace(window, letterboxes=(None,) * 3),))
    scored = scored_video(tracks=(default, other), second_look=True)
    coverage = pb.Verdict.FromString(encoded_verdict(scored, max_gap_s=2.5)).coverage
    assert (coverage.frames_looked_at, coverage.longest_gap_s, coverage.second_look) == (3, 2.0, True)
    assert [(track.track, track.frames_looked_at, track.unsound_frames) for track in coverage.tracks] == [
        (0, 3, 0),
        (2, 0, 3),
    ]
    assert coverage.tracks[1].longest_gap_s == 9.0


def test_what_was_not_looked_at_is_a_label_of_no_group() -> None:
    unlooked = LabelJudgement("unlooked", None, Action.REVIEW, 0.0, 0, 8.0, ((1.0, 9.0),), 2)
    judgement = Judgement(Action.REVIEW, (unlooked,))
    [label] = pb.Verdict.FromString(encoded_verdict(scored_video(judgement=judgement), max_gap_s=2.5)).labels
    assert label == pb.LabelVerdict(
        label="unlooked",
        action=pb.ACTION_REVIEW,
        seconds=8.0,
        track=2,
        spans=[pb.TimeSpan(start_s=1.0, end_s=9.0)],
    )


def test_a_request_s_own_part_is_added() -> None:
    encoded = encoded_verdict(scored_video(), max_gap_s=2.5)
    timings = {Stage.TOTAL: 20.0, Stage.CACHE: 1.5}
    verdict = verdict_of(Answer(encoded, timings, cached=True, evidence=(EvidenceFrame(2.0, b"jpeg"),)))
    assert verdict.cached
    assert [(each.stage, each.duration_ms) for each in verdict.timings] == [("cache", 1.5), ("total", 20.0)]
    assert [(each.time_s, each.jpeg) for each in verdict.evidence] == [(2.0, b"jpeg")]
    for name in ("cached", "timings", "evidence"):
        verdict.ClearField(name)
    kept = pb.Verdict.FromString(encoded)
    kept.ClearField("fingerprint")
    assert verdict == kept


@pytest.mark.parametrize(
    ("read", "told"),
    [(None, (300, 2, 1000)), (ReadCost(0), (0, 0, 1000)), (ReadCost(5, 1, 10), (5, 1, 10))],
)
def test_what_reading_took_is_the_request_s_own(read: ReadCost | None, told: tuple[int, ...]) -> None:
    video = verdict_of(Answer(encoded_verdict(scored_video(), max_gap_s=2.5), {}, read=read)).video
    assert (video.read_bytes, video.read_requests, video.content_bytes) == told


def test_every_field_of_the_messages_is_set() -> None:
    """A field added to the API must be filled here."""
    scored = scored_video()
    encoded = encoded_verdict(scored, max_gap_s=2.5)
    answer = Answer(encoded, scored.timings, cached=True, evidence=scored.evidence, blocks=findings(), explained=True)
    verdict = verdict_of(answer.handed_over(HandedOver(Handoff.KEPT, "case")))
    [match] = verdict.block_matches
    for message in (verdict, verdict.video, verdict.coverage, match, match.frames[1], verdict.block_check):
        unset = {field.name for field in message.DESCRIPTOR.fields} - {field.name for field, _ in message.ListFields()}
        assert unset - {"first_frame_s", "unsound_frames", "second_look", "tracks", "jpeg", "original_jpeg"} == set()
    assert (match.frames[0].jpeg, match.frames[0].original_jpeg, match.frames[1].jpeg) == (b"seen", b"kept", b"")
    assert (match.original.start_s, match.original.end_s) == (3.0, 5.0)


def test_a_case_is_told_by_how_it_was_handed_over_and_its_time_counts() -> None:
    answer = Answer(encoded_verdict(scored_video(), max_gap_s=2.5), {Stage.TOTAL: 20.0})
    verdict = verdict_of(answer.handed_over(HandedOver(Handoff.OPENED, "c1", 4.0)))
    assert (verdict.case_id, verdict.case_handoff) == ("c1", pb.CASE_HANDOFF_OPENED)
    assert [(each.stage, each.duration_ms) for each in verdict.timings] == [("case", 4.0), ("total", 24.0)]
    assert {f"CASE_HANDOFF_{each.name}" for each in Handoff} == {*pb.CaseHandoff.keys()} - {"CASE_HANDOFF_UNSPECIFIED"}


def test_a_case_gets_its_pictures_and_the_fingerprint() -> None:
    asked_for, of_case = (EvidenceFrame(1.0, b"asked for"),), (EvidenceFrame(2.0, b"of the case"),)
    encoded = encoded_verdict(scored_video(), max_gap_s=2.5)
    for pictures, given in ((of_case, of_case), ((), asked_for)):
        verdict = verdict_for_case(Answer(encoded, {}, evidence=asked_for, case_pictures=pictures))
        assert [frame.jpeg for frame in verdict.evidence] == [given[0].jpeg]
        assert verdict.fingerprint == fingerprint_message(FINGERPRINT)


def findings(action: Action = Action.BLOCK) -> Findings:
    match = BlockMatch(
        block=block_pb.Block(id="b1", label="rhino_horn", reason="sold", source="ours"),
        kind=MatchKind.CONFIRMED,
        action=action,
        frames=(MatchedFrame(1, 0.0, 12, 5.0), MatchedFrame(1, 2.0, 31, 3.0, regional=True)),
        share=0.5,
        inliers=20,
        pictures=(MatchPictures(b"seen", b"kept"),),
    )
    return Findings((match,), BlockState.STALE, 7, frames_compared=True)


def test_a_match_makes_a_verdict_graver_and_never_milder() -> None:
    for judged in Action:
        for called in (Action.REVIEW, Action.BLOCK):
            encoded = encoded_verdict(scored_video(judgement=Judgement(judged, ())), max_gap_s=2.5)
            verdict = verdict_of(Answer(encoded, {}, blocks=findings(called)))
            assert verdict.action == max(judged, called)
            assert not verdict.HasField("fingerprint"), "it was not asked for"


def test_the_verdict_on_an_exact_copy_says_whose_and_what_it_was_made_by() -> None:
    verdict = verdict_of(Answer(encoded_blocked_verdict("blake3:00", POLICY), {}, blocks=findings()))
    assert (verdict.action, verdict.content_digest) == (pb.ACTION_BLOCK, "blake3:00")
    assert verdict.policy_version == POLICY.version
    assert not verdict.HasField("coverage"), "nothing was looked at"


def test_a_fingerprint_comes_back_from_a_kept_verdict_as_it_was() -> None:
    scored = scored_video()
    assert kept_fingerprint(encoded_verdict(scored, max_gap_s=2.5)) == scored.fingerprint
    assert kept_fingerprint(encoded_verdict(scored_video(fingerprint=None), max_gap_s=2.5)) is None


def test_every_action_and_group_has_its_name_on_the_wire() -> None:
    for action in Action:
        verdict = pb.Verdict.FromString(encoded_verdict(scored_video(judgement=Judgement(action, ())), 2.0))
        assert pb.Action.Name(verdict.action) == f"ACTION_{action.name}"
    labels = pb.Verdict.FromString(encoded_verdict(scored_video(), 2.0)).labels
    assert {pb.LabelGroup.Name(label.group) for label in labels} == {f"LABEL_GROUP_{each.name}" for each in LabelGroup}


def test_an_error_names_reason_domain_and_metadata() -> None:
    status = status_of(VideoTooLarge.past("max_bytes", 100, 250))
    assert (status.code, status.message) == (3, "max_bytes is 100, the video has 250")
    info = detail(status, error_details_pb2.ErrorInfo)
    assert (info.reason, info.domain) == ("VIDEO_TOO_LARGE", "wildgate")
    assert dict(info.metadata) == {"limit": "max_bytes", "max": "100", "value": "250"}


def test_a_field_at_fault_is_a_bad_request() -> None:
    bad = detail(status_of(NotAVideo("no container", field="source")), error_details_pb2.BadRequest)
    assert [(each.field, each.description) for each in bad.field_violations] == [("source", "no container")]


@pytest.mark.parametrize(("after_s", "seconds", "nanos"), [(1.5, 1, 500_000_000), (0.25, 0, 250_000_000), (0.0, 0, 0)])
def test_when_to_try_again_is_retry_info(after_s: float, seconds: int, nanos: int) -> None:
    retry = detail(status_of(Overloaded("full", retry_after_s=after_s)), error_details_pb2.RetryInfo)
    assert (retry.retry_delay.seconds, retry.retry_delay.nanos) == (seconds, nanos)


def test_details_that_do_not_apply_are_left_out() -> None:
    status = status_of(Overloaded("full"))
    assert len(status.details) == 1
    assert detail(status, error_details_pb2.ErrorInfo).reason == "OVERLOADED"


def leaves(kind: type[WildgateError]) -> list[type[WildgateError]]:
    below = [leaf for each in kind.__subclasses__() for leaf in leaves(each)]
    return below or [kind]


@pytest.mark.parametrize("kind", leaves(WildgateError), ids=lambda kind: kind.__name__)
def test_every_error_can_be_told(kind: type[WildgateError]) -> None:
    error = kind() if kind.__name__ == "InternalError" else kind("what happened")
    status = status_of(error)
    assert status.code == error.status > 0
    assert status.message == error.message
