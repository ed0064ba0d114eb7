from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter
from checkout import SAMPLES

from wildgate_build.frames.decoder import ClipDecoder
from wildgate_perf.bench.peers.keyframes import (
    NoKeyframes,
    WindowShape,
    centred,
    decode_keyframes,
    letterboxed,
    windows_of,
)
from wildgate_perf.server_parts import Sampler
from wildgate_perf.videos import Composition, compose
from wildgate_server.repository.manifest import load_manifest

SHAPE = WindowShape(frames=4, side=64, letterbox_value=114)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    file = tmp_path_factory.mktemp("videos") / "short.mp4"
    compose(Composition(3, 200_000, width=96, height=160, fps=10, seconds=6, keyframe_every_s=1), file)
    return file.read_bytes()


def test_every_keyframe_and_no_other_frame_is_decoded(video: bytes) -> None:
    keyframes = decode_keyframes(video, SHAPE)
    assert keyframes.times_s == pytest.approx((0, 1, 2, 3, 4, 5))
    assert keyframes.windows.shape == (2, 4, 64, 64, 3)
    assert keyframes.windows.dtype == np.uint8


def test_the_last_window_repeats_its_last_keyframe(video: bytes) -> None:
    last = decode_keyframes(video, SHAPE).windows[1]
    assert not np.array_equal(last[0], last[1])
    np.testing.assert_array_equal(last[2], last[1])
    np.testing.assert_array_equal(last[3], last[1])


def test_the_keyframes_are_those_that_wildgate_looks_at(model_repository: Path) -> None:
    sample = SAMPLES / "tiger_passing.mp4"
    manifest = load_manifest(model_repository)
    decoder = ClipDecoder(model_repository, manifest, manifest.frame_side_px)
    video = Sampler(model_repository).sample(sample)
    (window,) = video.windows
    shape = WindowShape(manifest.frames_per_window, manifest.frame_side_px, manifest.letterbox_value)
    keyframes = decode_keyframes(sample.read_bytes(), shape)
    assert keyframes.times_s == pytest.approx(window.times_s)
    frames = keyframes.windows[0][: len(keyframes.times_s)]
    # Grey levels: one colour conversion rounds like another, or nearly so.
    assert np.abs(frames.astype(int) - decoder.frames(window, video.rotation)).mean() < 1


@pytest.mark.parametrize(
    ("width", "height", "picture"),
    [(128, 64, np.s_[16:48, :]), (64, 128, np.s_[:, 16:48]), (64, 64, np.s_[:, :])],
)
def test_a_frame_is_centred_in_its_square(width: int, height: int, picture: tuple[slice, slice]) -> None:
    frame = av.VideoFrame.from_ndarray(np.full((height, width, 3), 200, np.uint8), "rgb24")
    square = letterboxed(frame, SHAPE, VideoReformatter())
    assert (np.abs(square[picture].astype(int) - 200) <= 2).all()
    around = np.ones(square.shape, bool)
    around[picture] = False
    assert (square[around] == 114).all()


def test_an_odd_side_is_centred_towards_the_start() -> None:
    square = centred(np.zeros((63, 64, 3), np.uint8), SHAPE)
    assert (square[:63] == 0).all()
    assert (square[63] == 114).all()


def test_full_windows_are_not_padded() -> None:
    squares = [np.full((64, 64, 3), value, np.uint8) for value in range(8)]
    windows = windows_of(squares, SHAPE)
    assert windows.shape == (2, 4, 64, 64, 3)
    assert windows[:, :, 0, 0, 0].tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]


@pytest.mark.parametrize("content", [b"", b"not a video at all" * 100], ids=["nothing", "text"])
def test_what_is_no_video_is_refused(content: bytes) -> None:
    with pytest.raises(NoKeyframes, match="not a video"):
        decode_keyframes(content, SHAPE)
