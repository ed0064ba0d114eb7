from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from checkout import ROOT

from wildgate_perf.bench.peers.agreement import check, reference
from wildgate_perf.bench.peers.common_script import CommonScript, frames_each_second
from wildgate_perf.bench.peers.detector import Scorer, open_detector
from wildgate_perf.bench.peers.keyframes import WindowShape, decode_keyframes
from wildgate_perf.bench.peers.peer_setup import PeerFailed
from wildgate_perf.offline import ScoringLoop
from wildgate_perf.videos import Composition, compose

SHAPE = WindowShape(frames=4, side=64, letterbox_value=114)
SAMPLES: Sequence[Path] = [ROOT / "samples" / "tiger_passing.mp4"]


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("videos") / "short.mp4"
    compose(Composition(3, 400_000, width=96, height=160, fps=10, seconds=5, keyframe_every_s=1), file)
    return file


@pytest.fixture(scope="module")
def graph(model_repository: Path) -> Path:
    return model_repository / "wildlife_detector" / "1" / "model.onnx"


@pytest.fixture(scope="module")
def scorer(graph: Path) -> Scorer:
    return open_detector(graph, 114)


def test_one_frame_a_second_is_kept(video: Path) -> None:
    squares, times = frames_each_second(video, SHAPE)
    assert times == pytest.approx([0, 1, 2, 3, 4])
    assert all(square.shape == (64, 64, 3) for square in squares)


def test_the_frames_kept_look_like_the_keyframes_there(video: Path) -> None:
    squares, _ = frames_each_second(video, SHAPE)
    keyframes = decode_keyframes(video.read_bytes(), SHAPE).windows.reshape(-1, 64, 64, 3)[: len(squares)]
    apart = np.abs(np.stack(squares).astype(int) - keyframes).mean(axis=(1, 2, 3))
    assert apart.max() < 4  # grey levels: scaled after the colours were converted, not before
    assert np.abs(squares[0].astype(int) - keyframes[1]).mean() > 8  # else any frame would have done


def test_the_script_answers_as_a_full_decode_does(scorer: Scorer, graph: Path) -> None:
    expected = {video: reference(video, scorer) for video in SAMPLES}
    with ScoringLoop(partial(CommonScript, graph, 114), SAMPLES, 1) as script:
        check(expected, script.answers(SAMPLES), tolerance=0.15)
        result = script.score(0.05)
    assert result.videos >= 1
    assert result.per_s > 0
    assert result.cpu_s > 0


def test_what_opencv_cannot_read_fails(graph: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty.mp4"
    empty.write_bytes(b"")
    with pytest.raises(PeerFailed, match=r"no frame of empty\.mp4"):
        CommonScript(graph, 114).score(empty)
