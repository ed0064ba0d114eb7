"""What each disturbance does to a clip on disk."""

from pathlib import Path

import av
import numpy as np
import pytest

from wildgate_detector.disturbances import DISTURBANCES, Disturbance, disturb
from wildgate_detector.encoding import Encoding, write_video

WIDTH, HEIGHT = 160, 96


def picture() -> np.ndarray:
    """Grey noise; the upper left quarter is red, so that left and right, up and down differ."""
    rng = np.random.default_rng(0)
    canvas = rng.integers(60, 120, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    canvas[: HEIGHT // 2, : WIDTH // 2] = (200, 30, 30)
    return canvas


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    write_video(tmp_path / "clip.mp4", (picture() for _ in range(16)), 8, Encoding(quality=20))
    return tmp_path / "clip.mp4"


def named(name: str) -> Disturbance:
    return next(disturbance for disturbance in DISTURBANCES if disturbance.name == name)


def first_frame(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return next(container.decode(video=0)).to_ndarray(format="rgb24").astype(int)


def disturbed(clip: Path, name: str, turn: int = 0) -> np.ndarray:
    target = clip.with_name("disturbed.mp4")
    disturb(clip, target, named(name), turn)
    return first_frame(target)


def redness(region: np.ndarray) -> float:
    return float((region[..., 0] - region[..., 1]).mean())


@pytest.mark.parametrize("disturbance", DISTURBANCES, ids=lambda disturbance: disturbance.file_word)
def test_length_and_rate_stay(clip: Path, disturbance: Disturbance) -> None:
    target = clip.with_name("disturbed.mp4")
    disturb(clip, target, disturbance, 0)
    with av.open(str(target)) as container:
        assert container.streams.video[0].average_rate == 8
        assert sum(1 for _ in container.decode(video=0)) == 16


def test_low_bit_rate_takes_far_fewer_bytes(clip: Path) -> None:
    disturb(clip, clip.with_name("low.mp4"), named("low bit rate"), 0)
    disturb(clip, clip.with_name("same.mp4"), named("mirrored"), 0)
    assert clip.with_name("low.mp4").stat().st_size < 0.6 * clip.with_name("same.mp4").stat().st_size


def test_mirrored_has_left_on_the_right(clip: Path) -> None:
    frame = disturbed(clip, "mirrored")
    assert redness(frame[:40, 100:]) > 100
    assert redness(frame[:40, :60]) < 20


def test_the_crop_takes_a_tenth_on_every_side(clip: Path) -> None:
    frame = disturbed(clip, "20 % crop")
    assert frame.shape == (76, 128, 3)
    assert redness(frame[:36, :60]) > 100
    assert redness(frame[42:, 68:]) < 20


def test_the_lettering_is_above_and_below_and_leaves_the_middle(clip: Path) -> None:
    difference = np.abs(disturbed(clip, "overlay text") - first_frame(clip)).max(axis=2)
    assert (difference[:20] > 80).any()
    assert (difference[-20:] > 80).any()
    assert (difference[30:60] < 60).all()


def test_brightness_goes_up_and_down_by_turns(clip: Path) -> None:
    before = first_frame(clip)[60:].mean()
    assert disturbed(clip, "brightness", 0)[60:].mean() == pytest.approx(before * 1.4, rel=0.05)
    assert disturbed(clip, "brightness", 1)[60:].mean() == pytest.approx(before * 0.6, rel=0.05)


def test_bars_are_black_and_the_picture_is_whole(clip: Path) -> None:
    frame = disturbed(clip, "letterbox bars")
    assert frame.shape == (HEIGHT + 24, WIDTH, 3)
    assert frame[:10].mean() < 12
    assert frame[-10:].mean() < 12
    assert np.abs(frame[12:-12] - first_frame(clip)).mean() < 8


def test_an_upright_picture_has_its_bars_left_and_right(tmp_path: Path) -> None:
    upright = np.ascontiguousarray(picture().transpose(1, 0, 2))
    write_video(tmp_path / "clip.mp4", [upright] * 8, 8, Encoding())
    frame = disturbed(tmp_path / "clip.mp4", "letterbox bars")
    assert frame.shape == (WIDTH, HEIGHT + 24, 3)


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"no video")
    with pytest.raises(av.error.FFmpegError):
        disturb(tmp_path / "clip.mp4", tmp_path / "out.mp4", DISTURBANCES[0], 0)
