"""Video files as they come out: rotation, keyframes, codecs, and the same bytes twice."""

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from wildgate_detector.encoding import Encoding, write_video
from wildgate_detector.offline import frames_of


def frames(count: int = 12) -> Iterator[np.ndarray]:
    """Upright pictures whose upper left quarter is red."""
    for index in range(count):
        picture = np.full((96, 64, 3), 40 + index, np.uint8)
        picture[:48, :32] = (220, 20, 20)
        yield picture


def is_red(pixel: np.ndarray) -> bool:
    return bool(pixel[0] > 150 and pixel[1] < 90)


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_rotation_sets_the_picture_upright(tmp_path: Path, rotation: int) -> None:
    stored = (np.ascontiguousarray(np.rot90(frame, -rotation // 90)) for frame in frames())
    write_video(tmp_path / "turned.mp4", stored, 12, Encoding(rotation=rotation))
    with av.open(str(tmp_path / "turned.mp4")) as container:
        assert next(container.decode(video=0)).rotation % 360 == rotation
    _, picture = frames_of(tmp_path / "turned.mp4")[0]
    assert picture.shape == (96, 64, 3)
    assert is_red(picture[20, 14])
    assert not is_red(picture[20, 50])
    assert not is_red(picture[70, 14])


def test_keyframes_come_as_asked(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", frames(12), 12, Encoding(keyframe_every=5))
    write_video(tmp_path / "b.mp4", frames(12), 12, Encoding(keyframe_every=1000))
    with av.open(str(tmp_path / "a.mp4")) as often, av.open(str(tmp_path / "b.mp4")) as once:
        assert [i for i, f in enumerate(often.decode(video=0)) if f.key_frame] == [0, 5, 10]
        assert [i for i, f in enumerate(once.decode(video=0)) if f.key_frame] == [0]


def test_vp9_in_webm(tmp_path: Path) -> None:
    write_video(tmp_path / "a.webm", frames(), 12, Encoding(codec="libvpx-vp9", quality=40))
    with av.open(str(tmp_path / "a.webm")) as container:
        assert container.streams.video[0].codec_context.name == "vp9"
        assert sum(1 for _ in container.decode(video=0)) == 12


def test_the_same_frames_give_the_same_file(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        write_video(tmp_path / name, frames(), 12, Encoding(rotation=90))
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


@pytest.mark.parametrize(("name", "rotation"), [("a.mp4", 45), ("a.webm", 90)])
def test_a_rotation_that_cannot_be_written_is_refused(tmp_path: Path, name: str, rotation: int) -> None:
    with pytest.raises(ValueError, match="cannot write a rotation"):
        write_video(tmp_path / name, frames(), 12, Encoding(rotation=rotation))


def test_frames_are_looked_at_every_two_seconds(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", frames(61), 12, Encoding())
    assert [time_s for time_s, _ in frames_of(tmp_path / "a.mp4")] == pytest.approx([0, 2, 4], abs=0.01)
