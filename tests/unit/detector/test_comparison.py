"""Two graphs on the same material: differences come from the graphs alone."""

from pathlib import Path

import numpy as np
import pytest
from constant_detector import write_constant_detector

from wildgate_detector.comparison import qualities
from wildgate_detector.encoding import Encoding, write_video
from wildgate_detector.filming import Kind, LabelledClip
from wildgate_detector.frame_quality import KnownFrame
from wildgate_detector.layers import Seen
from wildgate_detector.offline import Detector, OfflineScorer, look
from wildgate_server.policy import load_policy

SIDE = 32


def constant_detector(path: Path, score: float) -> Detector:
    return Detector(write_constant_detector(path, score, SIDE))


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    write_video(tmp_path / "clip.mp4", [np.full((48, 64, 3), 90, np.uint8)] * 40, 8, Encoding())
    return tmp_path / "clip.mp4"


def test_a_frame_is_looked_at_every_two_seconds(tmp_path: Path, clip: Path) -> None:
    times_s, scores = look(constant_detector(tmp_path / "a.onnx", 0.9), clip)
    assert times_s == pytest.approx([0, 2, 4], abs=0.01)
    assert scores == [{"elephant_tusk": pytest.approx(0.9)}] * 3


@pytest.mark.parametrize(("score", "found"), [(0.99, {"elephant_tusk"}), (0.06, set())])
def test_the_policy_decides_what_was_found(tmp_path: Path, clip: Path, score: float, found: set[str]) -> None:
    assert OfflineScorer(constant_detector(tmp_path / "a.onnx", score), load_policy())(clip) == found


def test_both_see_the_same_frames_and_clips(tmp_path: Path, clip: Path) -> None:
    sees, blind = constant_detector(tmp_path / "a.onnx", 0.99), constant_detector(tmp_path / "b.onnx", 0.06)
    whole = Seen("elephant_tusk", (0.0, 0.0, float(SIDE), float(SIDE)), 1.0)
    other = Seen("rhino_horn", (0.0, 0.0, 8.0, 8.0), 1.0)
    frames = [KnownFrame(np.zeros((SIDE, SIDE, 3), np.uint8), (whole, other))]
    clips = [LabelledClip(clip, ("elephant_tusk",)), LabelledClip(clip, (), Kind.HARMLESS)]
    first, second = qualities([sees, blind], load_policy(), iter(frames), iter(clips))
    assert first.map50 == second.map50 == pytest.approx(0.5)
    assert (first.tally.recall, second.tally.recall) == (1.0, 0.0)
    assert (first.tally.false_alarms(Kind.HARMLESS), second.tally.false_alarms(Kind.HARMLESS)) == (1.0, 0.0)
