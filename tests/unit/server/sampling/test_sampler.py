"""From real videos to clip windows; a clip's frames are those of a full decode, pixel for pixel."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import av
import mp4_boxes
import numpy as np
import pytest
from blake3 import blake3
from clips import ClipSpec, make_clip
from full_decode import clip_frames, frames_by_time

from wildgate_server.errors import FetchFailed, NotAVideo, UriNotFound, VideoTooLarge
from wildgate_server.media.sampled_video import UNKNOWN_CODING, SampledVideo, VideoLimits
from wildgate_server.sampling.offline import sample_content, sample_file
from wildgate_server.sampling.plan import SamplingConfig
from wildgate_server.sampling.sampler import sample_video
from wildgate_server.source.content import Content
from wildgate_server.source.local_file import VideoFile

SMALL = {"width": 160, "height": 96}
H264 = ClipSpec(**SMALL, seconds=3)
REORDERED = ClipSpec(**SMALL, seconds=3, b_frames=3)
OPEN_GOP = ClipSpec(
    **SMALL,
    seconds=3,
    b_frames=3,
    options={"x264-params": "open-gop=1:keyint=10:min-keyint=10:scenecut=0:bframes=3:b-adapt=0"},
)
SPARSE = ClipSpec(**SMALL, seconds=6, keyframe_interval=100, b_frames=2)
TRANSPORT_STREAM = ClipSpec(**SMALL, seconds=3, b_frames=2, container="mpegts")
VP9 = ClipSpec(**SMALL, seconds=3, codec="libvpx-vp9", container="webm")
VP8 = ClipSpec(**SMALL, seconds=2, codec="libvpx", container="webm", options={"b": "1M"})
MPEG4 = ClipSpec(**SMALL, seconds=2, codec="mpeg4", container="avi", b_frames=1)
MPEG2 = ClipSpec(**SMALL, seconds=2, fps=25, codec="mpeg2video", container="mpegts", b_frames=2)
MJPEG = ClipSpec(**SMALL, seconds=2, codec="mjpeg", container="mov", pix_fmt="yuvj420p")
TEN_BIT = ClipSpec(**SMALL, seconds=2, b_frames=2, pix_fmt="yuv420p10le")

LIMITS = VideoLimits(max_bytes=1 << 24, max_pixels=1 << 20, max_seconds=60.0)


def sample(content: bytes | Path, max_gap_s: float = 2.0, max_frames: int = 64, places: int = 4) -> SampledVideo:
    sample_it = sample_file if isinstance(content, Path) else sample_content
    return sample_it(content, SamplingConfig(places, max_gap_s, max_frames), LIMITS)


def times_of(video: SampledVideo) -> list[float]:
    return [time_s for window in video.windows for time_s in window.times_s]


def assert_clips_show_the_full_decode(content: bytes, video: SampledVideo) -> None:
    truth = frames_by_time(content)
    assert (round(video.default_track.first_s, 6), round(video.default_track.last_s, 6)) == (min(truth), max(truth))
    for window in video.windows:
        for time_s, frame in zip(window.times_s, clip_frames(window), strict=False):
            np.testing.assert_array_equal(frame, truth[round(time_s, 6)], f"at {time_s} s")


@pytest.mark.parametrize("max_gap_s", [0.15, 0.35, 2.0])
@pytest.mark.parametrize(
    "spec",
    [H264, REORDERED, OPEN_GOP, SPARSE, TRANSPORT_STREAM, VP9, VP8, MPEG4, MPEG2, MJPEG, TEN_BIT],
    ids=lambda spec: f"{spec.codec}-{spec.container}-{spec.b_frames}-{spec.keyframe_interval}-{len(spec.options)}",
)
def test_clip_frames_are_those_of_a_full_decode(spec: ClipSpec, max_gap_s: float) -> None:
    content = make_clip(spec)
    assert_clips_show_the_full_decode(content, sample(content, max_gap_s))


def test_a_leading_picture_of_an_open_gop_is_shown_right() -> None:
    content = make_clip(OPEN_GOP)
    video = sample(content, max_gap_s=0.15)
    assert 0.9 in [round(time_s, 6) for time_s in times_of(video)], "coded after the keyframe that is shown at 1.0"
    assert_clips_show_the_full_decode(content, video)


def test_leading_pictures_that_nobody_wants_stay_behind() -> None:
    """They refer to a group of pictures that the clip does not hold."""
    video = sample(make_clip(OPEN_GOP), max_gap_s=0.35, places=1)
    for window in video.windows:
        with av.open(io.BytesIO(window.clip)) as container:
            pts = [packet.pts for packet in container.demux(video=0) if packet.size]
        assert pts[0] == min(pts)
    assert any(window.times_s[0] > 1.0 for window in video.windows)


def test_keyframes_alone_go_without_the_rest() -> None:
    content = make_clip(H264)
    video = sample(content, max_gap_s=1.0)
    assert times_of(video) == [0.0, 1.0, 2.0]
    assert video.windows[0].frame_index == (0, 1, 2, 2)
    with av.open(io.BytesIO(video.windows[0].clip)) as container:
        assert sum(packet.size > 0 for packet in container.demux(video=0)) == 3


def test_sparse_keyframes_take_their_packets_along_and_frame_index_picks() -> None:
    video = sample(make_clip(SPARSE), max_gap_s=1.0)
    assert {0.0, 0.9, 1.9, 2.9, 3.9, 4.9} <= set(times_of(video))
    assert video.windows[0].frame_index[0] == 0
    assert all(window.coded_frames > len(window.times_s) for window in video.windows)


def test_a_long_video_is_several_windows_and_places_repeat_the_last_frame() -> None:
    video = sample(make_clip(H264), max_gap_s=0.35, places=4)
    assert len(video.windows) > 1
    assert all(len(window.frame_index) == 4 for window in video.windows)
    assert all(len(window.times_s) == 4 for window in video.windows[:-1])
    last = video.windows[-1]
    assert 1 <= len(last.times_s) < 4
    assert set(last.frame_index[len(last.times_s) - 1 :]) == {last.frame_index[len(last.times_s) - 1]}
    times_s = times_of(video)
    assert times_s == sorted(times_s)


def test_negative_timestamps_lose_no_frame() -> None:
    content = mp4_boxes.earlier(make_clip(REORDERED), ticks=2048 + 5 * 1024)
    video = sample(content, max_gap_s=0.25)
    assert video.default_track.first_s < 0
    assert len(frames_by_time(content)) == 30
    assert_clips_show_the_full_decode(content, video)


def test_an_edit_list_moves_the_start() -> None:
    content = make_clip(REORDERED)
    cut = mp4_boxes.starting_at(content, mp4_boxes.start_of(content) + 4 * 1024)
    video = sample(cut, max_gap_s=0.15)
    assert video.default_track.first_s == pytest.approx(0.0)
    assert len(frames_by_time(cut)) == 26
    assert_clips_show_the_full_decode(cut, video)


def test_a_video_cut_short_is_sampled_up_to_the_cut() -> None:
    content = make_clip(TRANSPORT_STREAM)
    half = content[: len(content) // 2]
    video = sample(half, max_gap_s=1.0)
    assert video.default_track.first_s == pytest.approx(sample(content).default_track.first_s)
    assert video.default_track.last_s < sample(content).default_track.last_s


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_rotation_of_every_window(rotation: int) -> None:
    video = sample(mp4_boxes.turned(make_clip(H264), rotation), max_gap_s=0.35)
    assert len(video.windows) > 1
    assert video.default_track.display.rotation == rotation
    assert (video.default_track.width, video.default_track.height) == (160, 96), "the stored picture"


def test_what_is_told_of_the_video() -> None:
    content = make_clip(H264)
    video = sample(content, max_gap_s=1.0)
    assert (video.format, video.default_track.codec) == ("mov", "h264")
    assert video.content_bytes == len(content)
    assert video.content_digest == f"blake3:{blake3(content).hexdigest()}"
    assert video.clip_bytes == sum(len(window.clip) for window in video.windows)


@pytest.mark.parametrize(
    ("spec", "max_gap_s", "clean_keyframes", "delay"),
    [
        (H264, 1.0, True, 0),
        (REORDERED, 0.15, True, 2),
        (REORDERED, 1.0, True, 0),  # keyframes alone
        (OPEN_GOP, 1.0, False, 0),
        (replace(OPEN_GOP, seconds=0.9), 0.15, True, 2),  # its first group alone, which starts with an IDR picture
        (replace(VP9, seconds=1), 1.0, True, 0),
    ],
)
def test_how_the_clips_are_coded(spec: ClipSpec, max_gap_s: float, clean_keyframes: bool, delay: int) -> None:
    coding = sample(make_clip(spec), max_gap_s).default_track.coding
    assert (coding.chroma, coding.bit_depth, coding.interlaced) == ("4:2:0", 8, False)
    assert (coding.clean_keyframes, coding.plain_packets, coding.steady) == (clean_keyframes, True, True)
    assert coding.delay == delay


def test_how_the_clips_of_another_codec_are_coded_is_unknown() -> None:
    coding = sample(make_clip(MPEG4)).default_track.coding
    assert replace(coding, delay=None) == UNKNOWN_CODING


def test_how_clips_are_coded_is_left_out_where_nobody_asks() -> None:
    content = make_clip(replace(VP9, container="mp4", options={"colorspace": "bt709"}))
    asked, unasked = (
        sample_content(content, SamplingConfig(4, read_coding=wanted), LIMITS) for wanted in (True, False)
    )
    assert asked.default_track.coding.matrix == 1
    assert unasked.default_track.coding == UNKNOWN_CODING
    assert (asked.windows[0].clip[12:16], unasked.windows[0].clip[12:16]) == (b"wg\0\1", b"\0\0\2\0")
    assert asked.windows[0].clip[16:] == unasked.windows[0].clip[16:]


def test_the_budget_bounds_the_windows() -> None:
    video = sample(make_clip(SPARSE), max_gap_s=0.1, max_frames=5)
    assert len(times_of(video)) <= 5


def test_a_file_is_sampled_as_its_bytes_are(tmp_path: Path) -> None:
    content = make_clip(H264, tmp_path / "video.mp4")
    assert sample(tmp_path / "video.mp4").windows == sample(content).windows


@pytest.mark.parametrize(
    ("name", "error", "told"),
    [
        ("no such file", UriNotFound, "no file"),
        (".", FetchFailed, "directory"),
        ("empty", NotAVideo, "not a media file"),
    ],
)
def test_missing_and_empty_files_and_directories_are_refused(
    name: str, error: type[Exception], told: str, tmp_path: Path
) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(error, match=told):
        sample(tmp_path / name)


@pytest.mark.parametrize(
    ("limits", "name", "value"),
    [
        ({"max_bytes": 1000}, "max_bytes", None),
        ({"max_pixels": 160 * 96 - 1}, "max_pixels", "15360"),
        ({"max_seconds": 2.8}, "max_seconds", "2.9"),
    ],
)
def test_limits_name_limit_and_value(limits: dict[str, float], name: str, value: str | None, tmp_path: Path) -> None:
    content = make_clip(H264, tmp_path / "video.mp4")
    tight = VideoLimits(**{"max_bytes": 1 << 24, "max_pixels": 1 << 20, "max_seconds": 60.0, **limits})
    for source in (Content(content), VideoFile(tmp_path / "video.mp4")):
        with pytest.raises(VideoTooLarge) as refusal:
            sample_video(source, SamplingConfig(4), tight)
        assert refusal.value.metadata == {
            "limit": name,
            "max": f"{limits[name]:g}",
            "value": value or f"{len(content):g}",
        }


def test_limits_are_inclusive() -> None:
    content = make_clip(H264)
    exact = VideoLimits(max_bytes=len(content), max_pixels=160 * 96, max_seconds=2.9)
    assert sample_content(content, SamplingConfig(4), exact).windows


def test_a_file_past_the_limit_is_not_read(tmp_path: Path) -> None:
    """A sparse file far larger than memory: only its size may be looked at."""
    file = tmp_path / "huge.mp4"
    with file.open("wb") as huge:
        huge.truncate(1 << 42)
    with pytest.raises(VideoTooLarge):
        sample(file)
