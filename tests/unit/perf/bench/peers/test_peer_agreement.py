from pathlib import Path

import numpy as np
import pytest
from checkout import SAMPLES

from wildgate_perf.bench.peers.agreement import check, difference, reference
from wildgate_perf.bench.peers.scorer import Answer, Scorer, answer_of
from wildgate_perf.bench.phase import PhaseFailed

TIGER, TUSKS = SAMPLES / "tiger_passing.mp4", SAMPLES / "tusks_on_a_table.mp4"


@pytest.fixture(scope="module")
def scorer(model_repository: Path) -> Scorer:
    return Scorer(model_repository / "wildlife_detector" / "1" / "model.onnx", 114)


def answer(*rows: tuple[float, float, int], times_s: tuple[float, ...] = (0.0, 2.0)) -> Answer:
    """Rows of (time, score, class)."""
    return {
        "times_s": list(times_s),
        "detections": [[times_s.index(time_s), 0, 0, 1, 1, score, label] for time_s, score, label in rows],
    }


def test_an_answer_has_the_rows_that_score_enough() -> None:
    found = np.zeros((1, 3, 2, 6), np.float32)
    found[0, 0, 1] = [0.1, 0.2, 0.3, 0.4, 0.9, 7]
    found[0, 1, 0] = [0.1, 0.2, 0.3, 0.4, 0.01, 7]  # scores too little
    assert answer_of(found, [0.0, 2.0, 4.0]) == {
        "times_s": [0.0, 2.0, 4.0],
        "detections": [pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.9, 7], abs=1e-4)],
    }


def test_keyframe_decoding_answers_as_a_full_decode_does(scorer: Scorer) -> None:
    expected = {TIGER: reference(TIGER, scorer)}
    assert max(row[5] for row in expected[TIGER]["detections"]) > 0.5  # a tiger: there is something to compare
    assert check(expected, lambda video: scorer.score(video.read_bytes()), tolerance=0.01) < 0.01


def test_another_videos_answer_is_found_out(scorer: Scorer) -> None:
    expected = {TIGER: reference(TIGER, scorer)}
    with pytest.raises(PhaseFailed, match=r"tiger_passing\.mp4: a score is 0\.\d+ off"):
        check(expected, lambda video: scorer.score(TUSKS.read_bytes()), tolerance=0.2)


def test_only_the_best_score_of_a_label_in_a_frame_counts() -> None:
    assert difference(answer((0.0, 0.9, 1)), answer((0.0, 0.88, 1), (0.0, 0.2, 1))) == pytest.approx(0.02)


@pytest.mark.parametrize(
    ("found", "gap"),
    [
        (answer(), 0.85),  # missed: it could score no more than the least that is reported
        (answer((0.0, 0.9, 2)), 0.85),  # another label
        (answer((2.0, 0.9, 1)), 0.85),  # another frame
        (answer((0.0, 0.9, 1), (2.0, 0.35, 3)), 0.3),  # one too many
    ],
)
def test_differences(found: Answer, gap: float) -> None:
    assert difference(answer((0.0, 0.9, 1)), found) == pytest.approx(gap)


def test_more_frames_may_be_looked_at_but_not_fewer() -> None:
    few, many = answer((0.0, 0.9, 1)), answer((0.0, 0.9, 1), (1.0, 0.7, 1), times_s=(0.0, 1.0, 2.0))
    assert difference(few, many) == 0
    with pytest.raises(PhaseFailed, match=r"no answer for the frame at 1\.000 s"):
        difference(many, few)
