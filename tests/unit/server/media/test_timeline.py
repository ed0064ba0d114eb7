"""When frames are shown: a clock that falls back, leaps or stands still, and none at all."""

from __future__ import annotations

import io
import random
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import pytest
from clips import ClipSpec, make_clip
from laid_out_mp4 import LaidOut
from timelines import random_timeline

from wildgate_server.media.container import open_video
from wildgate_server.media.sampled_video import SampledTrack, SampledVideo, VideoLimits
from wildgate_server.media.timeline import Clock, has_stopped, times_at_rate, times_by_clock
from wildgate_server.sampling.offline import sample_content
from wildgate_server.sampling.plan import SamplingConfig, longest_gap_s

TICK = Fraction(1, 90_000)
RATE = Fraction(25)
LIMITS = VideoLimits(max_bytes=1 << 26, max_pixels=1 << 22, max_seconds=600.0)
SPEC = ClipSpec(width=160, height=96, seconds=6, fps=25, keyframe_interval=25, b_frames=2)


def sampled(content: bytes) -> SampledVideo:
    return sample_content(content, SamplingConfig(2), LIMITS)


def looked_at(track: SampledTrack) -> list[float]:
    return [time_s for window in track.windows for time_s in window.times_s]


def clock_of(parts: list[list[tuple[int, bool]]], *, decoded: bool) -> Clock:
    """A clock of frames in decode order, each as its presentation time in ticks and whether it is a keyframe."""
    frames = [frame for part in parts for frame in part]
    shown = [ticks for ticks, _ in frames]
    due = [ticks for part in parts for ticks in sorted(ticks for ticks, _ in part)]
    return Clock(TICK, shown, due if decoded else None, [key for _, key in frames], [True] * len(frames), 16)


def part_of(seed: int) -> list[tuple[int, bool]]:
    """A recording of random groups of pictures, some of them open or reordered, without holes of ten seconds."""
    samples = random_timeline(seed).samples
    if any(after.time_s - before.time_s > 10 for before, after in pairwise(samples)):
        return part_of(seed + 1)
    return [(round(sample.time_s / TICK), sample.is_keyframe) for sample in samples]


@pytest.mark.parametrize("decoded", [True, False])
@pytest.mark.parametrize("seed", range(100))
def test_a_clock_that_never_falls_back_is_believed(seed: int, decoded: bool) -> None:
    clock = clock_of([part_of(seed)], decoded=decoded)
    assert times_by_clock(clock, RATE) == clock.seconds()


@pytest.mark.parametrize("decoded", [True, False])
@pytest.mark.parametrize("seed", range(100))
def test_parts_of_a_clock_that_falls_back_follow_each_other(seed: int, decoded: bool) -> None:
    rng = random.Random(seed)
    parts = [part_of(rng.randrange(1 << 32)) for _ in range(rng.randint(2, 4))]
    for before, part in pairwise(parts):  # each begins, by its own clock, some time before the one before it ends
        shift = max(before)[0] - 45_000 - rng.randint(0, 900_000) - part[0][0]
        part[:] = [(ticks + shift, key) for ticks, key in part]
    times = times_by_clock(clock_of(parts, decoded=decoded), RATE)
    expected: list[float] = []
    for part in parts:
        start_s = max(expected) + 1 / RATE if expected else min(part)[0] * TICK
        expected += [float(start_s + (ticks - min(part)[0]) * TICK) for ticks, _ in part]
    assert times == pytest.approx(expected)


@pytest.mark.parametrize("decoded", [True, False])
def test_a_clock_that_leaps_for_a_frame_and_back_costs_a_frame(decoded: bool) -> None:
    parts = [[(at * 3600, not at % 10) for at in places] for places in (range(40), range(40, 80))]
    leap = [(90_000 * 700, False)]
    times = times_by_clock(clock_of([parts[0], leap, parts[1]], decoded=decoded), RATE)
    assert times == pytest.approx([at / 25 for at in range(81)])


def test_a_gap_is_no_fault_of_the_clock() -> None:
    clock = clock_of([[(0, True), (3600, False), (90_000 * 30, True)]], decoded=True)
    assert times_by_clock(clock, RATE) == [0.0, 0.04, 30.0]


def test_frames_of_one_moment_are_shown_one_after_the_other_if_there_are_too_many_for_it() -> None:
    stands_still = clock_of([[(at * 3600, True) for at in range(10)] + [(36_000, True)] * 100], decoded=True)
    assert times_by_clock(stands_still, RATE) == pytest.approx([at / 25 for at in range(110)])
    whole_seconds = clock_of([[(at // 24 * 90_000, True) for at in range(100)]], decoded=True)
    assert times_by_clock(whole_seconds, RATE) == whole_seconds.seconds()


def test_frames_of_which_each_comes_right_after_the_other_share_a_moment_too() -> None:
    crowd = [(36_000 + 50 * at, True) for at in range(100)]
    runs_out = clock_of([[(at * 3600, True) for at in range(10)] + crowd], decoded=True)
    assert times_by_clock(runs_out, RATE) == pytest.approx([at / 25 for at in range(110)])
    high_speed = clock_of([[(at * 50, True) for at in range(4000)]], decoded=True)
    assert times_by_clock(high_speed, RATE) == high_speed.seconds()


def test_a_clock_has_stopped_where_all_frames_of_a_second_are_decoded_at_once() -> None:
    order = [0, 2, 1] * 10
    assert has_stopped(Clock(TICK, order, [5] * 30, [True] * 30, [True] * 30, 16), RATE)
    assert not has_stopped(Clock(TICK, order[:20], [5] * 20, [True] * 20, [True] * 20, 16), RATE)
    assert not has_stopped(Clock(TICK, order, None, [True] * 30, [True] * 30, 16), RATE)
    assert times_at_rate([0, 2, 1], Fraction(24)) == [0.0, 2 / 24, 1 / 24]


@pytest.mark.parametrize(
    ("container", "options"),
    [
        ("mpegts", ClipSpec(codec="libx264", b_frames=2)),
        ("mpegts", ClipSpec(codec="mpeg2video", b_frames=2)),
        ("mpeg", ClipSpec(codec="mpeg2video", b_frames=2)),
        ("matroska", ClipSpec(codec="libx264", b_frames=2)),
        ("webm", ClipSpec(codec="libvpx", options={"b": "1M"})),
        ("ogg", ClipSpec(codec="libvpx", options={"b": "1M"})),
        ("flv", ClipSpec(codec="libx264", b_frames=2)),
    ],
    ids=lambda value: value if isinstance(value, str) else value.codec,
)
def test_joined_recordings_are_looked_at_one_after_the_other(container: str, options: ClipSpec) -> None:
    spec = replace(options, container=container, width=160, height=96, seconds=6, fps=25, keyframe_interval=25)
    [alone], [joined] = sampled(make_clip(spec)).tracks, sampled(2 * make_clip(spec)).tracks
    assert joined.last_s - joined.first_s == pytest.approx(2 * (alone.last_s - alone.first_s) + 0.04, abs=0.1)
    assert longest_gap_s(joined.first_s, looked_at(joined), joined.last_s) <= 2.0


def test_ogg_recordings_with_sound_are_looked_at_where_they_are_joined() -> None:
    recording = with_sound(make_clip(replace(SPEC, codec="libvpx", container="ogg", b_frames=0, options={"b": "1M"})))
    for joined, files in ((recording, 1), (3 * recording, 3), (2 * recording + b"OggS\0\x02", 2)):
        [track] = sampled(joined).tracks
        assert track.last_s - track.first_s == pytest.approx(files * 6 - 0.04, abs=0.1 * files)
        assert longest_gap_s(track.first_s, looked_at(track), track.last_s) <= 2.0


def test_fragments_whose_clock_starts_again_are_looked_at() -> None:
    fragmented = fragments(make_clip(SPEC))
    head = fragmented[: fragmented.index(b"moof") - 4]
    restarted = fragmented[: fragmented.index(b"mfra") - 4] + fragmented[len(head) :]
    [track] = sampled(restarted).tracks
    assert track.last_s - track.first_s == pytest.approx(12 - 0.04, abs=0.05)
    assert longest_gap_s(track.first_s, looked_at(track), track.last_s) <= 2.0


@pytest.mark.parametrize(("codec", "container"), [("libx264", "h264"), ("libx265", "hevc")])
def test_a_raw_stream_is_shown_at_its_own_rate_in_the_order_of_its_pictures(codec: str, container: str) -> None:
    spec = replace(SPEC, codec=codec, seconds=4)
    raw = make_clip(replace(spec, container=container))
    with open_video(io.BytesIO(raw), LIMITS) as [video], open_video(io.BytesIO(make_clip(spec)), LIMITS) as [timed]:
        start_s = min(sample.time_s for sample in timed.samples)
        shown = [sample.time_s - start_s for sample in timed.samples]
        assert [sample.time_s for sample in video.samples][:90] == pytest.approx(shown[:90])
    assert sampled(raw).tracks[0].last_s == pytest.approx(4 - 0.04)


def test_without_times_in_an_index_the_file_is_read_whole_and_its_frames_shown_at_a_rate() -> None:
    [track] = sampled(replace(LaidOut.of(make_clip(replace(SPEC, b_frames=0))), frame_ms=0).file()).tracks
    assert (track.first_s, track.last_s) == (0.0, pytest.approx(6 - 0.04))
    assert longest_gap_s(0.0, looked_at(track), track.last_s) <= 2.0


def with_sound(video: bytes) -> bytes:
    """The Ogg file with as much silence."""
    buffer = io.BytesIO()
    with av.open(io.BytesIO(video)) as source, av.open(buffer, "w", format="ogg") as target:
        track = target.add_stream_from_template(source.streams.video[0])
        sound = target.add_stream("libopus", rate=48000, layout="mono")
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 6 * 48_000), np.int16), format="s16", layout="mono")
        silence.sample_rate = 48_000
        heard = [*sound.encode(silence), *sound.encode(None)]
        for packet in source.demux(source.streams.video[0]):
            if packet.size:
                packet.stream = track
                target.mux(packet)
        target.mux(heard)
    return buffer.getvalue()


def fragments(mp4: bytes) -> bytes:
    buffer = io.BytesIO()
    options = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    with av.open(io.BytesIO(mp4)) as source, av.open(buffer, "w", format="mp4", options=options) as target:
        stream = source.streams.video[0]
        track = target.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.size:
                packet.stream = track
                target.mux(packet)
    return buffer.getvalue()
