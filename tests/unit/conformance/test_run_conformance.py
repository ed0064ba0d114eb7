from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from fake_gateway import FakeGateway, Refusal, a_verdict
from media_expectations import ExpectedRefusal, ExpectedVideo, load_expectations
from run_conformance import Settings, check_all

# What a full decode of the video in the fake's verdict would find.
EXPECTED = ExpectedVideo(frames=100, first_s=0.0, last_s=4.0, rotation=-90, codec="h264")
FIELDS = {"expect": "scored", **dataclasses.asdict(EXPECTED), "keyframes": 2, "pix_fmt": "yuv420p"}


@pytest.fixture
def media(tmp_path: Path) -> Path:
    expected = {"good.mp4": FIELDS, "bad.mp4": {"expect": "refused", "reasons": ["NOT_A_VIDEO"]}}
    (tmp_path / "EXPECTED.json").write_text(json.dumps(expected))
    (tmp_path / "README.md").touch()
    (tmp_path / "good.mp4").write_bytes(b"video")
    (tmp_path / "bad.mp4").write_bytes(b"garbage")
    return tmp_path


async def run(target: str, media: Path, deadline_s: float = 10.0) -> bool:
    return await check_all(target, Settings(media, load_expectations(media / "EXPECTED.json"), deadline_s, 2.0))


def test_expectations_are_read_and_an_unknown_one_is_named(media: Path):
    expectations = load_expectations(media / "EXPECTED.json")
    assert expectations == {"good.mp4": EXPECTED, "bad.mp4": ExpectedRefusal(("NOT_A_VIDEO",))}
    (media / "EXPECTED.json").write_text(json.dumps({"odd.mp4": {"expect": "ignored"}}))
    with pytest.raises(ValueError, match=r"odd\.mp4: .*ignored"):
        load_expectations(media / "EXPECTED.json")


async def test_right_answers_pass(gateway: FakeGateway, target: str, media: Path, capsys: pytest.CaptureFixture[str]):
    assert await run(target, media)
    assert capsys.readouterr().out.endswith("2 right, 0 wrong, 0 hangs\nafterwards good.mp4 still scores\n")
    assert len(gateway.requests) == 3


GONE = Refusal("UNAVAILABLE", "away", "BACKEND_UNAVAILABLE")
REFUSED = Refusal("INVALID_ARGUMENT", "no", "NOT_A_VIDEO")


@pytest.mark.parametrize(
    ("answers", "printed"),  # bad.mp4 is asked about first, then good.mp4, and good.mp4 once more
    [
        pytest.param([a_verdict()], "1 right, 1 wrong, 0 hangs", id="a wrong answer"),
        pytest.param(
            [REFUSED, a_verdict(), GONE],
            "2 right, 0 wrong, 0 hangs\nafterwards good.mp4 does not score: BACKEND_UNAVAILABLE: away",
            id="a gateway that does not survive",
        ),
    ],
)
async def test_the_run_fails_after(
    gateway: FakeGateway, target: str, media: Path, capsys: pytest.CaptureFixture[str], answers: list, printed: str
):
    gateway.answers.extend(answers)
    assert not await run(target, media)
    assert printed in capsys.readouterr().out


async def test_a_file_without_an_expectation_fails_the_run(
    target: str, media: Path, capsys: pytest.CaptureFixture[str]
):
    (media / "unknown.mp4").touch()
    assert not await run(target, media)
    assert "unknown.mp4  not in EXPECTED.json" in capsys.readouterr().out


async def test_a_hang_is_not_a_wrong_answer(
    gateway: FakeGateway, target: str, media: Path, capsys: pytest.CaptureFixture[str]
):
    gateway.holding = True
    assert not await run(target, media, deadline_s=0.05)
    assert "0 right, 0 wrong, 2 hangs" in capsys.readouterr().out
