from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import grpc
import pytest
from fake_gateway import FakeGateway, Refusal, a_verdict
from media_expectations import ExpectedRefusal, ExpectedVideo, load_expectations, longest_gap_s, wrongs
from run_conformance import Settings, conform
from verdicts import TIGER_VERDICT

from wildgate_client import InvalidVideo, StreamResult

# What the fake's verdict says of its video, as a full decode would.
EXPECTED = ExpectedVideo(frames=100, first_s=0.0, last_s=4.0, rotation=-270, codec="h264")
REFUSED = ExpectedRefusal(("NOT_A_VIDEO", "CORRUPT_VIDEO"))


def refused(code: grpc.StatusCode, reason: str) -> StreamResult:
    return StreamResult("clip", error=InvalidVideo("no", code=code, reason=reason))


def wrongs_with(expected: ExpectedVideo = EXPECTED, **coverage: object) -> list[str]:
    changed = dataclasses.replace(TIGER_VERDICT.coverage, **coverage)
    verdict = dataclasses.replace(TIGER_VERDICT, coverage=changed)
    return wrongs(expected, StreamResult("clip", verdict=verdict), max_gap_s=2.0)


def test_a_right_answer_has_no_wrongs():
    assert wrongs_with() == []


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"rotation": 0}, "rotation is 90, should be 0"),
        ({"codec": "hevc"}, "codec is h264, should be hevc"),
        ({"frames": 2}, "looked at 3 frames, the video has 2"),
        ({"last_s": 2.9}, "looked at 3 s, outside of 0 to 2.9 s"),
        ({"first_s": 0.1}, "looked at 0 s, outside of 0.1 to 4 s"),
        ({"last_s": 5.5}, "longest_gap_s is 2, looked-at times say 2.5"),
    ],
)
def test_a_video_that_is_another_is_told(change: dict[str, object], wrong: str):
    assert wrong in wrongs_with(dataclasses.replace(EXPECTED, **change))


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"frames_looked_at": 0, "looked_at_s": ()}, "looked at 0 frames, the video has 100"),
        ({"frames_looked_at": 2}, "3 looked-at times for 2 frames"),
        ({"looked_at_s": (0.0, 3.0, 1.0)}, "looked-at times do not ascend"),
        ({"longest_gap_s": 1.9}, "longest_gap_s is 1.9, looked-at times say 2"),
        ({"longest_gap_s": 2.01}, "longest_gap_s is 2.01, more than 2"),
        ({"max_gap_s": 60.0}, "max_gap_s is 60, the server is set to 2"),
    ],
)
def test_coverage_that_does_not_hold_is_told(change: dict[str, object], wrong: str):
    assert wrong in wrongs_with(**change)


def test_times_have_a_little_slack():
    shifted = dataclasses.replace(EXPECTED, first_s=0.04, last_s=4.04)
    assert wrongs_with(shifted) == []


def test_decoder_names_stand_for_their_codecs():
    verdict = dataclasses.replace(TIGER_VERDICT, video=dataclasses.replace(TIGER_VERDICT.video, codec="av1"))
    expected = dataclasses.replace(EXPECTED, codec="libdav1d")
    assert wrongs(expected, StreamResult("clip", verdict=verdict), max_gap_s=2.0) == []


def test_the_longest_gap_counts_both_ends():
    assert longest_gap_s([1.0, 2.0], 0.0, 2.0) == 1.0
    assert longest_gap_s([1.0], 0.0, 4.0) == 3.0
    assert longest_gap_s([], 0.0, 4.0) == 4.0


def test_a_refusal_needs_the_status_and_an_allowed_reason():
    invalid = grpc.StatusCode.INVALID_ARGUMENT
    assert wrongs(REFUSED, refused(invalid, "CORRUPT_VIDEO"), max_gap_s=2.0) == []
    assert wrongs(REFUSED, refused(invalid, "NO_VIDEO_STREAM"), max_gap_s=2.0) != []
    assert wrongs(REFUSED, refused(grpc.StatusCode.INTERNAL, "CORRUPT_VIDEO"), max_gap_s=2.0) != []
    assert wrongs(REFUSED, StreamResult("clip", verdict=TIGER_VERDICT), max_gap_s=2.0) == [
        "scored, should be refused with NOT_A_VIDEO or CORRUPT_VIDEO"
    ]
    assert wrongs(EXPECTED, refused(invalid, "CORRUPT_VIDEO"), max_gap_s=2.0) == [
        "should be scored, got CORRUPT_VIDEO: no"
    ]


VIDEO_FIELDS = {"expect": "scored", **dataclasses.asdict(EXPECTED), "keyframes": 2, "pix_fmt": "yuv420p"}


def settings(media: Path, deadline_s: float = 10.0) -> Settings:
    return Settings(media, load_expectations(media / "EXPECTED.json"), deadline_s, max_gap_s=2.0)


@pytest.fixture
def media(tmp_path: Path) -> Path:
    expected = {
        "good.mp4": VIDEO_FIELDS,
        "bad.mp4": {"expect": "refused", "reasons": ["NOT_A_VIDEO"]},
    }
    (tmp_path / "EXPECTED.json").write_text(json.dumps(expected))
    (tmp_path / "README.md").touch()
    (tmp_path / "good.mp4").write_bytes(b"video")
    (tmp_path / "bad.mp4").write_bytes(b"garbage")
    return tmp_path


def test_expectations_are_read_and_what_is_wrong_in_them_is_named(media: Path):
    expectations = load_expectations(media / "EXPECTED.json")
    assert expectations == {"good.mp4": EXPECTED, "bad.mp4": ExpectedRefusal(("NOT_A_VIDEO",))}
    (media / "EXPECTED.json").write_text(json.dumps({"odd.mp4": {"expect": "ignored"}}))
    with pytest.raises(ValueError, match=r"odd\.mp4: .*ignored"):
        load_expectations(media / "EXPECTED.json")


async def test_a_run_where_all_is_right(
    gateway: FakeGateway, target: str, media: Path, capsys: pytest.CaptureFixture[str]
):
    assert await conform(target, settings(media))
    out = capsys.readouterr().out
    assert "2 right, 0 wrong, 0 hangs" in out
    assert "afterwards good.mp4 still scores" in out
    assert len(gateway.requests) == 3


async def test_a_wrong_answer_fails_the_run(
    gateway: FakeGateway, target: str, media: Path, capsys: pytest.CaptureFixture[str]
):
    gateway.answers.append(a_verdict())  # the first file asked for is bad.mp4
    assert not await conform(target, settings(media))
    assert "1 right, 1 wrong, 0 hangs" in capsys.readouterr().out


async def test_a_file_without_an_expectation_fails_the_run(
    target: str, media: Path, capsys: pytest.CaptureFixture[str]
):
    (media / "unknown.mp4").touch()
    assert not await conform(target, settings(media))
    assert "unknown.mp4  not in EXPECTED.json" in capsys.readouterr().out


async def test_a_hang_is_told_from_a_wrong_answer(
    gateway: FakeGateway, target: str, media: Path, capsys: pytest.CaptureFixture[str]
):
    gateway.hold = True
    assert not await conform(target, settings(media, deadline_s=0.05))
    assert "0 right, 0 wrong, 2 hangs" in capsys.readouterr().out


async def test_a_gateway_that_does_not_outlive_the_run_fails_it(
    gateway: FakeGateway, target: str, media: Path, capsys: pytest.CaptureFixture[str]
):
    gone = Refusal(grpc.StatusCode.UNAVAILABLE, "away", "BACKEND_UNAVAILABLE")
    refusal = Refusal(grpc.StatusCode.INVALID_ARGUMENT, "no", "NOT_A_VIDEO")
    gateway.answers.extend([refusal, a_verdict(), gone])
    assert not await conform(target, settings(media))
    out = capsys.readouterr().out
    assert "2 right, 0 wrong, 0 hangs" in out
    assert "afterwards good.mp4 does not score: BACKEND_UNAVAILABLE: away" in out
