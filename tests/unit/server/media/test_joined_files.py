"""Several files in one, end to end: what players differ on is all looked at."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import av.error
import numpy as np
import pytest
from clips import ClipSpec, make_clip
from full_decode import clip_frames, frames_by_time
from several_tracks import together

from wildgate_server.errors import VideoTooLarge
from wildgate_server.media.sampled_video import SampledTrack, VideoLimits
from wildgate_server.sampling.offline import sample_content, sample_file
from wildgate_server.sampling.plan import SamplingConfig, longest_gap_s

LIMITS = VideoLimits(max_bytes=1 << 26, max_pixels=1 << 22, max_seconds=600.0)
CONFIG = SamplingConfig(4)
SPEC = ClipSpec(width=160, height=96, seconds=4)
OTHER = replace(SPEC, width=128, height=128, first_frame=13)


def sampled(content: bytes, tmp_path: Path) -> tuple[SampledTrack, ...]:
    """The tracks, which are the same whether the file is sent or read where it lies."""
    (tmp_path / "video").write_bytes(content)
    tracks = sample_content(content, CONFIG, LIMITS).tracks
    assert sample_file(tmp_path / "video", CONFIG, LIMITS).tracks == tracks
    return tracks


def assert_is_looked_at(track: SampledTrack, content: bytes, number: int = 0) -> None:
    truth = frames_by_time(content, number)
    times_s = [time_s for window in track.windows for time_s in window.times_s]
    assert longest_gap_s(min(truth), times_s, max(truth)) <= CONFIG.max_gap_s
    for window in track.windows:
        for time_s, frame in zip(window.times_s, clip_frames(window), strict=False):
            np.testing.assert_array_equal(frame, truth[round(time_s, 6)], f"at {time_s} s")


@pytest.mark.parametrize("second", ["h264", "hevc", "mpeg2video", "m4v"])
@pytest.mark.parametrize("first", ["h264", "hevc", "mpeg2video", "m4v"])
def test_pictures_of_another_codec_are_a_track_of_their_own(first: str, second: str, tmp_path: Path) -> None:
    encoders = {"h264": "libx264", "hevc": "libx265", "mpeg2video": "mpeg2video", "m4v": "mpeg4"}
    begins, follows = (make_clip(replace(SPEC, codec=encoders[each], container=each)) for each in (first, second))
    tracks = sampled(begins + follows, tmp_path)
    codec = "mpeg4" if second == "m4v" else second
    assert [track.codec for track in tracks[1:]] == ([] if first == second else [codec])
    last, seconds = tracks[-1], SPEC.seconds * (1 + (first == second))
    times_s = [time_s for window in last.windows for time_s in window.times_s]
    assert last.last_s - last.first_s == pytest.approx(seconds, abs=0.2)
    assert longest_gap_s(last.first_s, times_s, last.last_s) <= CONFIG.max_gap_s


@pytest.mark.parametrize(
    ("container", "first", "second"),
    [
        ("matroska", "libx264", "mpeg4"),
        ("webm", "libvpx", "libvpx-vp9"),
        ("flv", "libx264", "flv"),
        ("asf", "wmv2", "msmpeg4"),
        ("avi", "mpeg4", "mjpeg"),
        ("nut", "libx264", "mpeg4"),
    ],
)
def test_a_file_of_another_codec_is_a_track_of_its_own(container: str, first: str, second: str, tmp_path: Path) -> None:
    pix_fmt = "yuvj420p" if second == "mjpeg" else "yuv420p"
    options = {"b": "1M"} if container == "webm" else {}
    begins = make_clip(replace(SPEC, codec=first, container=container, options=options))
    follows = make_clip(replace(OTHER, codec=second, container=container, pix_fmt=pix_fmt))
    one, other = sampled(begins + follows, tmp_path)
    assert (one.number, other.number, other.width) == (0, 1, OTHER.width)
    assert_is_looked_at(other, follows)


def test_a_file_with_other_parameters_than_the_first_one_is_looked_at_by_its_own(tmp_path: Path) -> None:
    follows = make_clip(replace(OTHER, container="matroska", options={"coder": "0"}))
    _, other = sampled(make_clip(replace(SPEC, container="matroska")) + follows, tmp_path)
    assert_is_looked_at(other, follows)


def test_tracks_that_the_first_file_lacks_are_looked_at(tmp_path: Path) -> None:
    follows = together([make_clip(SPEC), make_clip(OTHER)], "matroska")
    _, other = sampled(make_clip(replace(SPEC, container="matroska")) + follows, tmp_path)
    assert_is_looked_at(other, follows, 1)


@pytest.mark.parametrize(("first", "second"), [("libx264", "mpeg2video"), ("mpeg2video", "libx264")])
def test_a_transport_stream_that_changes_its_codec_is_looked_at_before_and_after(
    first: str, second: str, tmp_path: Path
) -> None:
    files = [
        make_clip(replace(spec, codec=codec, container="mpegts", fps=25, seconds=6, keyframe_interval=25))
        for spec, codec in ((SPEC, first), (OTHER, second))
    ]
    tracks = sampled(b"".join(files), tmp_path)
    assert any(_shows(track, files[0]) for track in tracks)
    assert any(_shows(track, files[1]) for track in tracks)


def _shows(track: SampledTrack, content: bytes) -> bool:
    try:
        assert_is_looked_at(track, content)
    except (AssertionError, KeyError, av.error.FFmpegError):
        return False
    return True


@pytest.mark.parametrize(("container", "codec"), [("matroska", "libx264"), ("asf", "wmv2"), ("avi", "mpeg4")])
def test_equal_files_go_on_one_after_the_other(container: str, codec: str, tmp_path: Path) -> None:
    [track] = sampled(5 * make_clip(replace(SPEC, codec=codec, container=container)), tmp_path)
    times_s = [time_s for window in track.windows for time_s in window.times_s]
    assert track.last_s - track.first_s == pytest.approx(5 * 4 - 0.1, abs=0.5)
    assert longest_gap_s(track.first_s, times_s, track.last_s) <= 2.0


def test_of_joined_mp4_files_the_first_one_counts_as_players_show_it(tmp_path: Path) -> None:
    [track] = sampled(make_clip(SPEC) + make_clip(OTHER), tmp_path)
    assert_is_looked_at(track, make_clip(SPEC))
    assert track.last_s < SPEC.seconds


def test_more_files_than_are_read_are_refused() -> None:
    with pytest.raises(VideoTooLarge, match="max_joined_files is 64"):
        sample_content(70 * make_clip(replace(SPEC, container="flv", seconds=0.2)), CONFIG, LIMITS)
