"""Frames as the server sees them, and which of them are used for what."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from checkout import ROOT
from clips import ClipSpec, frame_number, make_clip
from colour_detector import FRAMES, SIDE, write_video

from wildgate_build.errors import FramesError
from wildgate_build.frames.calibration_split import LEAST_FRAMES, evenly, split_frames
from wildgate_build.frames.sampled import FrameSource, VideoFile, video_files


@pytest.fixture(scope="module")
def source(model_repository: Path) -> FrameSource:
    return FrameSource(model_repository, FRAMES, SIDE)


def asked(*paths: Path) -> list[VideoFile]:
    return [VideoFile(path, asked_for=True) for path in paths]


def test_the_frames_are_those_that_the_sampler_chose(source: FrameSource, tmp_path: Path) -> None:
    make_clip(ClipSpec(seconds=9, keyframe_interval=10), tmp_path / "nine.mp4")
    video = source.look(tmp_path / "nine.mp4")
    assert video.frames.shape == (len(video.times_s), SIDE, SIDE, 3)
    picture = slice(SIDE // 8, -SIDE // 8)  # 4:3 in a square
    assert [frame_number(frame[picture]) for frame in video.frames] == [round(t * 10) % 28 for t in video.times_s]
    assert (video.frames[:, : SIDE // 8] == 114).all(), "the manifest's letterbox value"
    assert np.diff(video.times_s).max() <= 2


def test_a_video_that_is_no_video_is_named(source: FrameSource, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a video")
    with pytest.raises(FramesError, match=r"notes\.txt: "):
        list(source.look_at_all(asked(tmp_path / "notes.txt")))


def test_in_a_folder_what_is_no_video_is_passed_over(source: FrameSource, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("not a video")
    make_clip(path=tmp_path / "b.mp4")
    assert [video.path.name for video in source.look_at_all(video_files([tmp_path]))] == ["b.mp4"]


def test_a_folder_without_a_video_is_named(source: FrameSource, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("not a video")
    with pytest.raises(FramesError, match=f"no video in {tmp_path}"):
        list(source.look_at_all(video_files([tmp_path])))


def test_places_are_folders_or_files(tmp_path: Path) -> None:
    for name in ("b.mp4", "a.mp4", ".hidden"):
        (tmp_path / name).touch()
    (tmp_path / "c").mkdir()
    files = [VideoFile(tmp_path / "a.mp4", False), VideoFile(tmp_path / "b.mp4", False)]
    assert video_files([tmp_path, tmp_path / "b.mp4"]) == [*files, VideoFile(tmp_path / "b.mp4", True)]


def test_a_place_that_is_not_there_and_an_empty_one_are_named(tmp_path: Path) -> None:
    with pytest.raises(FramesError, match="nowhere: there is no such file or folder"):
        video_files([tmp_path / "nowhere"])
    with pytest.raises(FramesError, match=f"no file in {tmp_path}"):
        video_files([tmp_path])


def test_a_repository_without_decoder_or_manifest_is_named(model_repository: Path, tmp_path: Path) -> None:
    with pytest.raises(FramesError, match=r"manifest\.yaml"):
        FrameSource(tmp_path, FRAMES, SIDE)
    shutil.copy(model_repository / "manifest.yaml", tmp_path)
    with pytest.raises(FramesError, match=r"clip_decoder/1/model\.py: there is no clip decoder"):
        FrameSource(tmp_path, FRAMES, SIDE)
    decoder = tmp_path / "clip_decoder" / "1" / "model.py"
    decoder.parent.mkdir(parents=True)
    decoder.write_text("import no_such_module_anywhere")
    with pytest.raises(FramesError, match="cannot be loaded: No module named 'no_such_module_anywhere'"):
        FrameSource(tmp_path, FRAMES, SIDE)


def test_loading_the_decoder_leaves_no_stand_in_behind(source: FrameSource) -> None:
    assert "triton_python_backend_utils" not in sys.modules


def test_evenly_takes_the_ends_and_even_steps() -> None:
    assert evenly(range(100), 4) == [0, 33, 66, 99]
    assert evenly(range(3), 4) == [0, 1, 2]


def test_the_two_sets_are_of_different_videos(source: FrameSource, tmp_path: Path) -> None:
    for number, level in enumerate((80, 120, 160, 200)):
        write_video(tmp_path / f"{number}.mp4", paint=lambda _, w, h, level=level: np.full((h, w, 3), level, np.uint8))
    sets = split_frames(source, video_files([tmp_path]), 24)
    assert (len(sets.calibration), len(sets.held_out)) == (24, 24)
    calibration, held_out = ({round(frame.mean() / 40) for frame in side} for side in (sets.calibration, sets.held_out))
    assert len(calibration) == len(held_out) == 2
    assert not calibration & held_out


def test_videos_of_unlike_length_make_even_sets(source: FrameSource, tmp_path: Path) -> None:
    for number, seconds in enumerate((40, 16, 8, 6, 8, 4)):
        write_video(tmp_path / f"{number}.mp4", seconds=seconds)
    sets = split_frames(source, video_files([tmp_path]), 256)
    assert sorted((len(sets.calibration), len(sets.held_out))) == [36, 39]
    assert not sets.same_videos


def test_a_few_short_videos_are_shared_out_frame_by_frame(source: FrameSource, tmp_path: Path) -> None:
    for number, seconds in enumerate((56, 8, 6)):
        write_video(tmp_path / f"{number}.mp4", seconds=seconds)
    sets = split_frames(source, video_files([tmp_path]), 256)
    assert (len(sets.calibration), len(sets.held_out)) == (33, 33)
    assert sets.same_videos


def test_the_sample_clips_are_enough(source: FrameSource) -> None:
    sets = split_frames(source, video_files([ROOT / "samples"]), 256)
    assert min(len(sets.calibration), len(sets.held_out)) >= LEAST_FRAMES


def test_a_single_video_is_shared_out_frame_by_frame(source: FrameSource, tmp_path: Path) -> None:
    write_video(tmp_path / "one.mp4", seconds=80)
    sets = split_frames(source, asked(tmp_path / "one.mp4"), 256)
    frames = source.look(tmp_path / "one.mp4").frames
    np.testing.assert_array_equal(sets.calibration, frames[::2])
    np.testing.assert_array_equal(sets.held_out, frames[1::2])


def test_too_few_frames_are_counted(source: FrameSource, tmp_path: Path) -> None:
    write_video(tmp_path / "one.mp4", seconds=20)
    with pytest.raises(FramesError, match="10 frames to calibrate on, at least 16 are needed"):
        split_frames(source, asked(tmp_path / "one.mp4"), 256)
