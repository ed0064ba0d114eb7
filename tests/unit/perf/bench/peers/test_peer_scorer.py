"""Frames as peers see them: keyframes by PyAV, one frame a second by OpenCV."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from checkout import SAMPLES

from wildgate_build.frames.decoder import ClipDecoder
from wildgate_perf.bench.peers.agreement import check, reference
from wildgate_perf.bench.peers.common_script import CommonScript, frames_each_second
from wildgate_perf.bench.peers.scorer import Scorer
from wildgate_perf.load_generator import LoadGenerator
from wildgate_perf.loops import LoadPlan
from wildgate_perf.server_parts import Sampler
from wildgate_perf.videos import Composition, compose
from wildgate_server.repository.manifest import load_manifest

TIGER = SAMPLES / "tiger_passing.mp4"


@pytest.fixture(scope="module")
def graph(model_repository: Path) -> Path:
    return model_repository / "wildlife_detector" / "1" / "model.onnx"


@pytest.fixture(scope="module")
def scorer(graph: Path) -> Scorer:
    return Scorer(graph, 114)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("videos") / "short.mp4"
    compose(Composition(3, 400_000, width=96, height=160, fps=10, seconds=5, keyframe_every_s=1), file)
    return file


def test_every_keyframe_and_no_other_frame_is_decoded(scorer: Scorer, video: Path) -> None:
    squares, times_s = scorer.keyframes(video.read_bytes())
    assert times_s == pytest.approx([0, 1, 2, 3, 4])
    assert {(square.shape, square.dtype.name) for square in squares} == {((320, 320, 3), "uint8")}
    whole, same_times_s = scorer.keyframes(video.read_bytes(), skip_frame="DEFAULT")
    assert same_times_s == times_s
    np.testing.assert_array_equal(whole, squares)


def test_the_keyframes_are_those_that_wildgate_looks_at(scorer: Scorer, model_repository: Path) -> None:
    manifest = load_manifest(model_repository)
    assert scorer.side == manifest.frame_side_px
    decoder = ClipDecoder(model_repository, manifest, manifest.frame_side_px)
    sampled = Sampler(model_repository).sample(TIGER)
    [window] = sampled.windows
    squares, times_s = scorer.keyframes(TIGER.read_bytes())
    assert times_s == pytest.approx(window.times_s)
    # Grey levels: one colour conversion rounds like another, or nearly so.
    frames = decoder.frames(window, sampled.default_track.display)
    assert tuple(frames) == window.times_s
    assert np.abs(np.stack(squares).astype(int) - np.stack([*frames.values()])).mean() < 1


@pytest.mark.parametrize(
    ("width", "height", "at"),
    [(320, 160, np.s_[80:240, :]), (160, 320, np.s_[:, 80:240]), (320, 319, np.s_[:319, :]), (320, 320, np.s_[:, :])],
)
def test_a_picture_is_centred_in_its_square(scorer: Scorer, width: int, height: int, at: tuple[slice, slice]) -> None:
    assert scorer.fitted(3 * width, 3 * height) == (width, height)
    square = scorer.centred(np.full((height, width, 3), 200, np.uint8))
    assert (square[at] == 200).all()
    around = np.ones(square.shape, bool)
    around[at] = False
    assert (square[around] == 114).all()


def test_the_common_script_keeps_one_frame_a_second(scorer: Scorer, video: Path) -> None:
    squares, times_s = frames_each_second(video, scorer)
    assert times_s == pytest.approx([0, 1, 2, 3, 4])
    keyframes, _ = scorer.keyframes(video.read_bytes())
    apart = np.abs(np.stack(squares).astype(int) - keyframes).mean(axis=(1, 2, 3))
    assert apart.max() < 4  # grey levels: scaled after the colours were converted, not before
    assert np.abs(squares[0].astype(int) - keyframes[1]).mean() > 8  # else any frame would have done


def test_the_common_script_answers_as_a_full_decode_does(scorer: Scorer, graph: Path) -> None:
    script = CommonScript(graph, 114, (TIGER,))
    check({TIGER: reference(TIGER, scorer)}, script.answer, tolerance=0.15)
    with LoadGenerator() as load:
        assert load.closed(script, LoadPlan(1, 0.0, 100.0, requests=1)).answered == 1


def test_a_file_that_opencv_cannot_read_fails(graph: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty.mp4"
    empty.write_bytes(b"")
    with pytest.raises(ValueError, match=r"no frame of empty\.mp4"):
        CommonScript(graph, 114, ()).answer(empty)
