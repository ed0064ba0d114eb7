"""Coverage is the truth: what sampling says it looked at, and left unlooked, against a full decode of the video."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import av
import mp4_boxes
import numpy as np
import pytest
from checkout import MEDIA
from clips import ClipSpec, make_clip
from full_decode import clip_frames, frames_by_time
from several_tracks import together

from wildgate_server.errors import InvalidVideo
from wildgate_server.media.sampled_video import SampledVideo, VideoLimits
from wildgate_server.sampling.look import Look, Scrutiny
from wildgate_server.sampling.offline import sample_content
from wildgate_server.sampling.plan import SamplingConfig, longest_gap_s

LIMITS = VideoLimits(max_bytes=1 << 28, max_pixels=1 << 26, max_seconds=3600.0)
EPSILON = 1e-5
# The same variable that `make conformance` takes.
MEDIA_FILES = sorted(MEDIA.iterdir()) if MEDIA.is_dir() else []

SMALL = ClipSpec(width=64, height=64, seconds=9, keyframe_interval=20)
SPARSE = replace(SMALL, keyframe_interval=45, b_frames=2)
ONE_KEYFRAME = replace(SMALL, keyframe_interval=1000, b_frames=2)
OPEN_GOPS = "open-gop=1:keyint=45:min-keyint=45:scenecut=0:bframes=3:b-adapt=0"
# Frames from 10 to 250 ms apart, and one picture that stands for three seconds.
UNEVEN_S = [0.0]
for _number in range(120):
    UNEVEN_S.append(round(UNEVEN_S[-1] + (0.01, 0.04, 0.033, 0.25, 0.1)[_number % 5], 3))
WITH_A_HOLE_S = [time_s + (3.0 if time_s > 4 else 0.0) for time_s in UNEVEN_S]


def hidden_start(spec: ClipSpec, frames: int) -> bytes:
    """A video whose edit list begins this many frames into it: what comes before serves to decode, and is not shown."""
    content = make_clip(spec)
    return mp4_boxes.starting_at(content, mp4_boxes.start_of(content) + frames * 1024)


VIDEOS: dict[str, Callable[[], bytes]] = {
    "dense keyframes": lambda: make_clip(SMALL),
    "sparse keyframes": lambda: make_clip(SPARSE),
    "one keyframe": lambda: make_clip(ONE_KEYFRAME),
    "one keyframe, no reordering": lambda: make_clip(replace(ONE_KEYFRAME, b_frames=0)),
    "variable frame rate": lambda: make_clip(replace(SPARSE, times_s=tuple(UNEVEN_S))),
    "variable frame rate, one keyframe": lambda: make_clip(replace(ONE_KEYFRAME, times_s=tuple(UNEVEN_S))),
    "a hole": lambda: make_clip(replace(SPARSE, times_s=tuple(WITH_A_HOLE_S))),
    "a late start": lambda: make_clip(replace(SPARSE, times_s=tuple(time_s + 5.5 for time_s in UNEVEN_S))),
    "edit list": lambda: hidden_start(SPARSE, 4),
    "edit list that hides the first keyframe for long": lambda: hidden_start(SPARSE, 27),
    "edit list over one keyframe": lambda: hidden_start(ONE_KEYFRAME, 33),
    "negative times": lambda: mp4_boxes.earlier(make_clip(SPARSE), 3 * 1024),
    "open groups": lambda: make_clip(replace(SMALL, b_frames=3, options={"x264-params": OPEN_GOPS})),
    "open groups that begin within one": lambda: hidden_start(
        replace(SMALL, b_frames=3, options={"x264-params": OPEN_GOPS}), 10
    ),
    "transport stream": lambda: make_clip(replace(SPARSE, container="mpegts")),
    "matroska": lambda: make_clip(replace(SPARSE, container="matroska")),
    "vp9": lambda: make_clip(replace(SPARSE, codec="libvpx-vp9", container="webm", b_frames=0)),
    "avi": lambda: make_clip(replace(SPARSE, codec="mpeg4", container="avi", b_frames=0)),
}


@dataclass(frozen=True)
class Video:
    """A media file, and when its frames are shown according to a decoder that was given all of it."""

    content: bytes
    shown_s: list[float]

    @classmethod
    def of(cls, content: bytes) -> Video:
        with av.open(io.BytesIO(content)) as container:
            stream = container.streams.best("video")
            assert stream is not None
            shown_s: list[float] = []
            with suppress(av.error.InvalidDataError):
                for frame in container.decode(stream):
                    shown_s.append(float(frame.pts * stream.time_base))
            return cls(content, sorted(shown_s))


@pytest.fixture(scope="module", params=VIDEOS, ids=lambda name: name.replace(" ", "-"))
def video(request: pytest.FixtureRequest) -> Video:
    return Video.of(VIDEOS[request.param]())


def looked_at(sampled: SampledVideo) -> list[float]:
    return [time_s for window in sampled.windows for time_s in window.times_s]


def assert_true(video: Video, sampled: SampledVideo) -> None:
    """The frames that were looked at are frames that are shown, and no moment is farther from one than is said."""
    shown_s, times_s, track = video.shown_s, looked_at(sampled), sampled.default_track
    assert (track.first_s, track.last_s) == pytest.approx((shown_s[0], shown_s[-1]), abs=EPSILON)
    nearest = [min(shown_s, key=lambda shown, time_s=time_s: abs(shown - time_s)) for time_s in times_s]
    assert times_s == pytest.approx(nearest, abs=EPSILON)
    assert times_s == sorted(set(times_s))
    # The longest run of frames that were not looked at, with the moments at which it begins and ends.
    longest_s, since_s = 0.0, shown_s[0]
    for shown in shown_s:
        longest_s = max(longest_s, shown - since_s)
        if any(abs(shown - time_s) < EPSILON for time_s in times_s):
            since_s = shown
    assert longest_gap_s(track.first_s, times_s, track.last_s) == pytest.approx(longest_s, abs=2 * EPSILON)


def assert_kept(video: Video, sampled: SampledVideo, max_gap_s: float) -> None:
    """No gap is longer than it may be where a frame is shown that would have closed it."""
    for before, after in pairwise((video.shown_s[0], *looked_at(sampled), video.shown_s[-1])):
        if after - before > max_gap_s + EPSILON:
            assert not [shown for shown in video.shown_s if before + EPSILON < shown < after - EPSILON]


@pytest.mark.parametrize("max_gap_s", [0.25, 1.0, 2.0])
def test_no_gap_is_longer_than_it_may_be(video: Video, max_gap_s: float) -> None:
    sampled = sample_content(video.content, SamplingConfig(8, max_gap_s), LIMITS)
    assert_true(video, sampled)
    assert_kept(video, sampled, max_gap_s)


def test_a_budget_of_frames_leaves_longer_gaps_and_says_so(video: Video) -> None:
    sampled = sample_content(video.content, SamplingConfig(8, 0.25, max_frames=5), LIMITS)
    assert_true(video, sampled)
    assert 2 <= len(looked_at(sampled)) <= 5


def test_a_budget_of_decoding_leaves_longer_gaps_and_says_so(video: Video) -> None:
    free = sample_content(video.content, SamplingConfig(8, 0.25, max_decoded_frames=10**9), LIMITS)
    spent = sum(window.coded_frames for window in free.windows)
    tight = sample_content(video.content, SamplingConfig(8, 0.25, max_decoded_frames=spent // 2), LIMITS)
    assert_true(video, tight)
    assert sum(window.coded_frames for window in tight.windows) <= spent // 2
    assert len(looked_at(tight)) >= 2


def drawn(rng: random.Random) -> bytes:
    """A video of one or two tracks whose codec, groups of pictures, reordering and clock are drawn."""
    container, codecs = rng.choice(
        [("mp4", ["libx264", "mpeg4", "libvpx-vp9"]), ("matroska", ["libx264", "libvpx-vp9"]), ("mpegts", ["libx264"])]
    )

    def track() -> bytes:
        times_s = [rng.choice([0.0, 0.0, 1.5])]
        while len(times_s) < rng.randint(30, 150):
            times_s.append(round(times_s[-1] + rng.choice([0.02, 0.033, 0.04, 0.1, 0.3, rng.choice([0.1, 3.0])]), 3))
        codec = rng.choice(codecs)
        interval, b_frames = rng.choice([1, 7, 30, 90, 1000]), rng.choice([0, 2]) if codec == "libx264" else 0
        return make_clip(
            replace(SMALL, codec=codec, keyframe_interval=interval, b_frames=b_frames, times_s=tuple(times_s))
        )

    return together([track() for _ in range(rng.randint(1, 2))], container)


@pytest.mark.parametrize("seed", range(24))
def test_drawn_videos_are_covered_as_a_full_decode_says(seed: int) -> None:
    rng = random.Random(seed)
    content = drawn(rng)
    look = Look(rng.choice([*Scrutiny]), rng.randbytes(32))
    config = SamplingConfig(8, rng.choice([0.5, 2.0]), max_frames=rng.choice([6, 64]), random_share=0.5)
    sampled = sample_content(content, config, LIMITS, look)
    for track in sampled.tracks:
        truth = frames_by_time(content, track.number)
        assert_true(Video(content, sorted(truth)), replace(sampled, tracks=(track,)))
        for window in track.windows:
            for time_s, frame in zip(window.times_s, clip_frames(window), strict=False):
                shown_s = min(truth, key=lambda shown, time_s=time_s: abs(shown - time_s))
                np.testing.assert_array_equal(frame, truth[shown_s], f"at {time_s} s")


@pytest.mark.skipif(not MEDIA_FILES, reason="no media files in MEDIA")
@pytest.mark.parametrize("file", MEDIA_FILES, ids=lambda file: file.name)
def test_media_files_are_covered_as_is_said(file: Path) -> None:
    content = file.read_bytes()
    try:
        sampled = sample_content(content, SamplingConfig(8), LIMITS)
    except InvalidVideo:
        return  # what is refused is told by the conformance run
    video = Video.of(content)
    if not video.shown_s:
        return  # so is what no decoder makes anything of
    assert_true(video, sampled)
    assert_kept(video, sampled, 2.0)
