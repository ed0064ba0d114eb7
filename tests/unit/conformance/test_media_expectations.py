from __future__ import annotations

import dataclasses

import grpc
import pytest
from media_expectations import ExpectedRefusal, ExpectedVideo, longest_gap_s, mismatches
from verdicts import TIGER_VERDICT

from wildgate_client import InvalidVideo, StreamResult

# What a full decode of the video in the fake's verdict would find; it is mirrored, then turned by 90 degrees.
EXPECTED = ExpectedVideo(frames=100, first_s=0.0, last_s=4.0, rotation=-90, codec="h264")
REFUSED = ExpectedRefusal(("NOT_A_VIDEO", "CORRUPT_VIDEO"))


def refused(code: grpc.StatusCode, reason: str) -> StreamResult:
    return StreamResult("clip", error=InvalidVideo("no", code=code, reason=reason))


def mismatches_with(expected: ExpectedVideo = EXPECTED, **coverage: object) -> list[str]:
    changed = dataclasses.replace(TIGER_VERDICT.coverage, **coverage)
    verdict = dataclasses.replace(TIGER_VERDICT, coverage=changed)
    return mismatches(expected, StreamResult("clip", verdict=verdict), max_gap_s=2.0)


def test_a_right_answer_has_no_mismatches():
    assert mismatches_with() == []


@pytest.mark.parametrize(
    ("change", "mismatch"),
    [
        ({"rotation": 0}, "rotation is 270, should be 0"),
        ({"codec": "hevc"}, "codec is h264, should be hevc"),
        ({"frames": 2}, "looked at 3 frames, the video has 2"),
        ({"last_s": 2.9}, "looked at 3 s, outside of 0 to 2.9 s"),
        ({"first_s": 0.1}, "looked at 0 s, outside of 0.1 to 4 s"),
        ({"last_s": 5.5}, "longest_gap_s is 2, looked-at times say 2.5"),
    ],
)
def test_an_answer_about_another_video_is_noticed(change: dict[str, object], mismatch: str):
    assert mismatch in mismatches_with(dataclasses.replace(EXPECTED, **change))


@pytest.mark.parametrize(
    ("change", "mismatch"),
    [
        ({"frames_looked_at": 0, "looked_at_s": ()}, "looked at 0 frames, the video has 100"),
        ({"frames_looked_at": 2}, "3 looked-at times for 2 frames"),
        ({"looked_at_s": (0.0, 3.0, 1.0)}, "looked-at times do not ascend"),
        ({"longest_gap_s": 1.9}, "longest_gap_s is 1.9, looked-at times say 2"),
        ({"longest_gap_s": 2.01}, "longest_gap_s is 2.01, more than 2"),
        ({"max_gap_s": 60.0}, "max_gap_s is 60, the server is set to 2"),
    ],
)
def test_false_coverage_is_noticed(change: dict[str, object], mismatch: str):
    assert mismatch in mismatches_with(**change)


def test_times_have_a_little_slack():
    shifted = dataclasses.replace(EXPECTED, first_s=0.04, last_s=4.04)
    assert mismatches_with(shifted) == []


def test_decoder_names_stand_for_their_codecs():
    verdict = dataclasses.replace(TIGER_VERDICT, video=dataclasses.replace(TIGER_VERDICT.video, codec="av1"))
    expected = dataclasses.replace(EXPECTED, codec="libdav1d")
    assert mismatches(expected, StreamResult("clip", verdict=verdict), max_gap_s=2.0) == []


def test_the_longest_gap_counts_both_ends():
    assert longest_gap_s([1.0, 2.0], 0.0, 2.0) == 1.0
    assert longest_gap_s([1.0], 0.0, 4.0) == 3.0
    assert longest_gap_s([], 0.0, 4.0) == 4.0


def test_a_refusal_needs_the_status_and_an_allowed_reason():
    invalid = grpc.StatusCode.INVALID_ARGUMENT
    assert mismatches(REFUSED, refused(invalid, "CORRUPT_VIDEO"), max_gap_s=2.0) == []
    assert mismatches(REFUSED, refused(invalid, "NO_VIDEO_STREAM"), max_gap_s=2.0) != []
    assert mismatches(REFUSED, refused(grpc.StatusCode.INTERNAL, "CORRUPT_VIDEO"), max_gap_s=2.0) != []
    assert mismatches(REFUSED, StreamResult("clip", verdict=TIGER_VERDICT), max_gap_s=2.0) == [
        "scored, should be refused with NOT_A_VIDEO or CORRUPT_VIDEO"
    ]
    assert mismatches(EXPECTED, refused(invalid, "CORRUPT_VIDEO"), max_gap_s=2.0) == [
        "should be scored, got CORRUPT_VIDEO: no"
    ]
