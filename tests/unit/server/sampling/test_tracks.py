"""Every video track that a player could show is looked at, all within what one video may cost."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition
from clips import ClipSpec, make_clip
from full_decode import clip_frames, frames_by_time
from several_tracks import together

from wildgate_server.errors import VideoTooLarge
from wildgate_server.media.sampled_video import SampledTrack, SampledVideo, VideoLimits
from wildgate_server.sampling.offline import sample_content, sample_file
from wildgate_server.sampling.plan import SamplingConfig

LIMITS = VideoLimits(max_bytes=1 << 26, max_pixels=1 << 22, max_seconds=60.0)
CONFIG = SamplingConfig(4)
DENSE = ClipSpec(width=160, height=96, seconds=6)
SPARSE = ClipSpec(width=128, height=128, seconds=4, keyframe_interval=100, b_frames=2, first_frame=13)
NEITHER = Disposition(0)


def sampled(content: bytes, way: str, tmp_path: Path, config: SamplingConfig = CONFIG) -> SampledVideo:
    if way == "bytes":
        return sample_content(content, config, LIMITS)
    (tmp_path / "video").write_bytes(content)
    return sample_file(tmp_path / "video", config, LIMITS)


def looked_at(track: SampledTrack) -> list[float]:
    return [time_s for window in track.windows for time_s in window.times_s]


def assert_shows_the_full_decode(track: SampledTrack, content: bytes, number: int) -> None:
    truth = frames_by_time(content, number)
    assert (round(track.first_s, 6), round(track.last_s, 6)) == (min(truth), max(truth))
    for window in track.windows:
        for time_s, frame in zip(window.times_s, clip_frames(window), strict=False):
            np.testing.assert_array_equal(frame, truth[round(time_s, 6)], f"at {time_s} s")


@pytest.mark.parametrize("way", ["bytes", "file"])
@pytest.mark.parametrize("container", ["mp4", "mov", "matroska", "mpegts", "asf", "nut"])
def test_both_of_two_tracks_are_looked_at_as_they_are_decoded(container: str, way: str, tmp_path: Path) -> None:
    content = together([make_clip(DENSE), make_clip(SPARSE)], container)
    video = sampled(content, way, tmp_path)
    assert [(track.number, track.width) for track in video.tracks] == [(0, 160), (1, 128)]
    for number, track in enumerate(video.tracks):
        assert_shows_the_full_decode(track, content, number)
        assert len(looked_at(track)) >= 2


@pytest.mark.parametrize("container", ["mp4", "matroska"])
def test_the_track_that_a_player_shows_by_default_comes_first(container: str, tmp_path: Path) -> None:
    content = together([make_clip(DENSE), make_clip(SPARSE)], container, {0: NEITHER, 1: Disposition.default})
    for way in ("bytes", "file"):
        assert [track.number for track in sampled(content, way, tmp_path).tracks] == [1, 0]


def test_a_track_that_is_off_is_looked_at_all_the_same() -> None:
    content = together([make_clip(DENSE), make_clip(SPARSE)], "mp4", {0: Disposition.default, 1: NEITHER})
    with av.open(io.BytesIO(content)) as container:
        assert [bool(stream.disposition & Disposition.default) for stream in container.streams.video] == [True, False]
    assert [track.number for track in sample_content(content, CONFIG, LIMITS).tracks] == [0, 1]


def test_of_several_tracks_only_the_packets_that_are_looked_at_are_read(tmp_path: Path) -> None:
    noise = np.random.default_rng(3).integers(0, 256, (10, 160, 160, 3), np.uint8)
    spec = replace(DENSE, width=160, height=160, seconds=8, paint=lambda number, *_: noise[number % 10])
    content = together([make_clip(spec), make_clip(spec)])
    video = sampled(content, "file", tmp_path)
    assert len(video.tracks) == 2
    assert video.read_bytes < len(content) / 2
    assert video.tracks == sampled(content, "bytes", tmp_path).tracks


def test_cover_art_is_no_track() -> None:
    picture = make_clip(ClipSpec("mjpeg", "mov", width=64, height=64, seconds=0.1, pix_fmt="yuvj420p"))
    content = together([picture, make_clip(DENSE)], "mp4", {0: Disposition.attached_pic, 1: Disposition.default})
    [track] = sample_content(content, CONFIG, LIMITS).tracks
    assert track.codec == "h264"


def test_a_still_picture_is_shown_after_what_moves() -> None:
    """As an animated AVIF has one, for those that cannot play it."""
    content = together([make_clip(replace(DENSE, seconds=0.1)), make_clip(DENSE)])
    assert [track.number for track in sample_content(content, CONFIG, LIMITS).tracks] == [1, 0]


def test_too_many_tracks_are_refused() -> None:
    one = make_clip(replace(DENSE, seconds=0.5))
    assert len(sample_content(together([one] * 8), CONFIG, LIMITS).tracks) == 8
    with pytest.raises(VideoTooLarge) as refusal:
        sample_content(together([one] * 9), CONFIG, LIMITS)
    assert refusal.value.metadata == {"limit": "max_tracks", "max": "8", "value": "9"}


@pytest.mark.parametrize("way", ["bytes", "file"])
def test_many_tracks_cost_no_more_than_one_video_may(way: str, tmp_path: Path) -> None:
    content = together([make_clip(DENSE), *[make_clip(SPARSE)] * 4])
    config = replace(CONFIG, max_gap_s=0.5, max_frames=16, max_decoded_frames=100)
    video = sampled(content, way, tmp_path, config)
    assert len(video.tracks) == 5
    assert all(looked_at(track) for track in video.tracks)
    assert sum(len(looked_at(track)) for track in video.tracks) <= 16
    assert sum(window.coded_frames for window in video.windows) <= 100
    for number, track in enumerate(video.tracks):
        assert_shows_the_full_decode(track, content, number)


def test_a_track_without_frames_is_none() -> None:
    buffer = io.BytesIO()
    with av.open(io.BytesIO(make_clip(DENSE))) as source, av.open(buffer, "w", format="matroska") as target:
        stream = source.streams.video[0]
        tracks = [target.add_stream_from_template(stream, opaque=True) for _ in range(2)]
        for packet in source.demux(stream):
            if packet.size:
                packet.stream = tracks[1]
                target.mux(packet)
    assert [track.number for track in sample_content(buffer.getvalue(), CONFIG, LIMITS).tracks] == [1]
