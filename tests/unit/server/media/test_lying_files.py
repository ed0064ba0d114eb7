"""Files that say of themselves what is not so: what is looked at is what is played, or the answer says otherwise."""

from __future__ import annotations

import io
import struct
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path

import av
import av.error
import numpy as np
import pytest
from clips import ClipSpec, cut_clip, make_clip
from full_decode import clip_frames, frames_by_time
from laid_out_mp4 import LaidOut, box
from laid_out_webm import block, cluster, packets_of, void, webm_of

from wildgate_perf.attacks.costly_files import promised_samples
from wildgate_server.errors import VideoTooLarge
from wildgate_server.media.container import open_video
from wildgate_server.media.reading import WAYS_TO_READ
from wildgate_server.media.sample import UnfitIndex
from wildgate_server.media.sampled_video import SampledVideo, VideoLimits
from wildgate_server.sampling.offline import sample_content, sample_file
from wildgate_server.sampling.plan import SamplingConfig
from wildgate_server.source.byte_source import ByteSource

LIMITS = VideoLimits(max_bytes=1 << 26, max_pixels=1 << 22, max_seconds=600.0)
CONFIG = SamplingConfig(8)
NEEDS = (LIMITS, CONFIG.max_gap_s, CONFIG.max_clip_bytes)
BY_INDEX, *_, WHOLE = WAYS_TO_READ


def sample(content: bytes) -> SampledVideo:
    return sample_content(content, CONFIG, LIMITS)


def sample_written(content: bytes, tmp_path: Path) -> SampledVideo:
    (tmp_path / "film").write_bytes(content)
    return sample_file(tmp_path / "film", CONFIG, LIMITS)


def looked_at(video: SampledVideo) -> list[float]:
    return [time_s for window in video.windows for time_s in window.times_s]


@cache
def film(codec: str = "libx264", interval: int = 100) -> bytes:
    return make_clip(ClipSpec(codec, width=160, height=160, seconds=6, keyframe_interval=interval))


def with_sync_samples(mp4: bytes, sync: int) -> bytes:
    """The same file, whose list of keyframes names but one sample, counted from 1."""
    at = mp4.index(b"stss") + 8
    (count,) = struct.unpack_from(">I", mp4, at)
    return mp4[:at] + struct.pack(">2I", 1, sync) + mp4[at + 8 :].ljust(4 * (count - 1), b"\0")


@pytest.mark.parametrize("codec", ["libx264", "libx265", "mpeg4"])
def test_frames_that_are_only_listed_as_keyframes_are_not_taken_for_them(codec: str) -> None:
    truth = sample(film(codec))
    lying = sample(film(codec).replace(b"stss", b"free"))
    assert lying.windows == truth.windows
    for window in lying.windows:
        assert window.coded_frames > len(window.times_s), "frames between keyframes come with what they need"


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_frames_that_all_last_no_time_are_shown_at_a_rate(codec: str) -> None:
    """FFmpeg's parser of MPEG-4 would have each of them last as long as the video is said to be."""
    mp4 = bytearray(film(codec))
    (count,) = struct.unpack_from(">I", mp4, at := mp4.index(b"stts") + 8)
    for entry in range(count):
        struct.pack_into(">I", mp4, at + 8 + 8 * entry, 0)
    track = sample(bytes(mp4)).default_track
    assert 2.0 < track.last_s - track.first_s < 6.0


def test_frames_before_the_only_keyframe_that_is_listed_are_of_the_video() -> None:
    truth = sample(film())
    lying = sample(with_sync_samples(film(), 60))
    ends = [(track.first_s, track.last_s) for track in (lying.default_track, truth.default_track)]
    assert ends == [(0.0, 5.9)] * 2
    assert lying.windows == truth.windows


def test_keyframes_of_open_groups_of_pictures_are_keyframes() -> None:
    """They are not IDR pictures; a message before them says that decoding can begin there."""
    options = {"x264-params": "open-gop=1:keyint=10:bframes=2:b-adapt=0:scenecut=0"}
    content = make_clip(ClipSpec(width=160, height=160, seconds=6, b_frames=2, options=options))
    with BY_INDEX(ByteSource.of_content(content, 1 << 30), *NEEDS) as reading:
        keyframes = [at for at, one in enumerate(reading.tracks[0].samples) if one.is_keyframe]
        assert len(keyframes) > 4
        with reading.open([keyframes]) as [video]:
            assert video.codec == "h264"


@pytest.mark.parametrize("way", [BY_INDEX, WHOLE])
def test_a_file_that_promises_frames_without_end_is_too_large(way: object) -> None:
    track = LaidOut.of(film())
    track.samples = track.samples[:10]
    endless = replace(track, repeated=20_000)
    with (
        pytest.raises(VideoTooLarge, match="max_coded_frames"),
        way(ByteSource.of_content(endless.file(), 1 << 30), *NEEDS),
    ):  # type: ignore[operator]
        pass


def test_more_boxes_than_an_index_has_are_read_as_they_are() -> None:
    content = film()
    boxes = box(b"free") * 5000
    at = content.index(b"moov") - 4
    crowded = content[:at] + boxes + content[at:]
    with pytest.raises(UnfitIndex), BY_INDEX(ByteSource.of_content(crowded, 1 << 30), *NEEDS):
        pass
    assert sample(crowded).windows == sample(content).windows


def test_a_frame_missing_from_the_file_does_not_end_it() -> None:
    track = LaidOut.of(film(interval=10))
    truth, video = sample(track.file()), sample(replace(track, away=[15]).file())
    assert looked_at(video) == looked_at(truth) == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    assert video.default_track.last_s >= truth.default_track.last_s


@pytest.mark.parametrize("container", ["mp4", "matroska"])
def test_a_video_cut_short_is_as_long_as_it_says(container: str) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (10, 160, 160, 3), np.uint8)
    spec = ClipSpec(container=container, width=160, height=160, seconds=6, paint=lambda number, *_: noise[number % 10])
    content = make_clip(replace(spec, options={"movflags": "faststart"} if container == "mp4" else {}))
    if container == "mp4":
        content = LaidOut.of(content).file()  # which has its index first
    video = sample(content[: len(content) // 2])
    assert looked_at(video)[-1] < 4
    assert video.default_track.last_s == pytest.approx(6.0, abs=0.2)


def joined(switch_at: int, side: int = 160) -> bytes:
    """Two films as one track with a sample entry for each, the second in force from a frame on; its own are from 30."""
    first = LaidOut.of(film(interval=10))
    options = {"x264-params": "cabac=0:ref=1:keyint=10:min-keyint=10:scenecut=0"}
    other = ClipSpec(width=side, height=side, seconds=6, first_frame=60, options=options)
    second = LaidOut.of(make_clip(other))
    assert first.entries != second.entries
    samples = [
        (data, is_key, 1 if at < switch_at else 2)
        for at, (data, is_key, _) in enumerate(first.samples[:30] + second.samples[30:])
    ]
    return LaidOut(first.entries + second.entries, samples, 160).file()


@pytest.mark.parametrize("max_gap_s", [2.0, 0.3])
@pytest.mark.parametrize("side", [160, 96])
def test_each_sample_entry_decodes_its_own_frames(max_gap_s: float, side: int) -> None:
    content = joined(30, side)
    truth = frames_by_time(content)
    assert len(truth) == 60
    video = sample_content(content, replace(CONFIG, max_gap_s=max_gap_s), LIMITS)
    assert {time_s >= 3.0 for time_s in looked_at(video)} == {False, True}
    for window in video.windows:
        assert len({time_s >= 3.0 for time_s in window.times_s}) == 1, "no clip mixes entries"
        for time_s, frame in zip(window.times_s, clip_frames(window), strict=False):
            np.testing.assert_array_equal(frame, truth[round(time_s, 6)], f"at {time_s} s")


def test_frames_whose_keyframe_belongs_to_another_sample_entry_are_not_looked_at() -> None:
    video = sample_content(joined(35), replace(CONFIG, max_gap_s=0.1), LIMITS)
    assert not [time_s for time_s in looked_at(video) if 3.45 < time_s < 3.95]
    assert [time_s for time_s in looked_at(video) if time_s > 3.95]
    assert video.default_track.last_s == pytest.approx(5.9)


@pytest.mark.parametrize("called", ["open", "demux"])
def test_running_out_of_memory_is_not_the_file_s_fault(called: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Starved:
        """A media file whose packets there is no memory for."""

        def __init__(self, container: object) -> None:
            self._container = container

        def demux(self, stream: object) -> None:
            raise av.error.MemoryError(12, "Cannot allocate memory")

        def __getattr__(self, name: str) -> object:
            return getattr(self._container, name)

        def __enter__(self) -> Starved:
            return self

        def __exit__(self, *_: object) -> None:
            self._container.close()  # type: ignore[attr-defined]

    really_open = av.open

    def starved_open(*arguments: object, **options: object) -> Starved:
        if called == "open":
            raise av.error.MemoryError(12, "Cannot allocate memory")
        return Starved(really_open(*arguments, **options))  # type: ignore[call-overload]

    content = io.BytesIO(film())
    monkeypatch.setattr(av, "open", starved_open)
    with pytest.raises(MemoryError) as raised, open_video(content, LIMITS):
        pass
    assert type(raised.value) is MemoryError


def test_a_sampled_digest_tells_apart_what_decoders_are_chosen_by(tmp_path: Path) -> None:
    (tmp_path / "film").write_bytes(film())
    read, unread = (
        sample_file(tmp_path / "film", replace(CONFIG, read_coding=reads), LIMITS) for reads in (True, False)
    )
    assert read.windows == unread.windows
    assert read.content_digest != unread.content_digest


SIDE = 160


def grey_frames(level: int, count: int) -> list[bytes]:
    """VP8 keyframes of one grey."""
    spec = ClipSpec("libvpx", "webm", SIDE, SIDE, seconds=count / 10, keyframe_interval=1, options={"b": "1M"})
    return packets_of(make_clip(replace(spec, paint=lambda *_: np.full((SIDE, SIDE, 3), level, np.uint8))))


def test_cues_that_lead_past_what_is_played_are_not_followed(tmp_path: Path) -> None:
    """A player goes past a void element, whatever is in it."""
    real, decoy = grey_frames(220, 9), grey_frames(40, 9)
    parts = [cluster(at * 1000, block(frame)) for at, frame in enumerate(real)]
    decoys = [cluster(at * 1000, block(frame)) for at, frame in enumerate(decoy)][1:]
    hidden = void(b"".join(decoys))
    places = [0]
    at = len(parts[0]) + len(hidden) - sum(map(len, decoys))
    for one in decoys:
        places.append(at)
        at += len(one)
    content = webm_of(
        [parts[0], hidden, *parts[1:]], [(at * 1000, place, None) for at, place in enumerate(places)], SIDE
    )
    video = sample_written(content, tmp_path)
    assert looked_at(video) == [*range(8)]
    clip = video.windows[0].clip
    assert all(frame in clip for frame in real[:8])
    assert not any(frame in clip for frame in decoy)


@pytest.mark.parametrize(
    "spoilt",
    [
        lambda packet: struct.pack(">I", len(packet) + 100) + packet[4:],
        lambda packet: packet + struct.pack(">I", 500) + b"\x01",
        lambda packet: bytes(4) + packet,
        lambda packet: struct.pack(">I", 3) + b"\x06\x80\x80",
        lambda packet: packet[:4] + bytes([packet[4] | 0x80]) + packet[5:],
    ],
    ids=["a unit that is too long", "a second one that is", "an empty unit", "no slice", "the forbidden bit"],
)
@pytest.mark.parametrize("container", ["mp4", "matroska"])
@pytest.mark.parametrize("places", [range(50, 60), range(11, 60), [59]], ids=str)
def test_packets_without_a_picture_do_not_lengthen_a_video(
    spoilt: Callable[[bytes], bytes], container: str, places: Sequence[int]
) -> None:
    laid_out = LaidOut.of(film(interval=10))
    for place in places:
        packet, is_keyframe, entry = laid_out.samples[place]
        laid_out.samples[place] = (spoilt(packet), is_keyframe, entry)
    content = laid_out.file() if container == "mp4" else cut_clip(laid_out.file(), lambda *_: True)
    shown_s = shown_by_a_decoder(content)
    [track] = sample(content).tracks
    assert (track.first_s, track.last_s) == (shown_s[0], shown_s[-1])
    assert set(looked_at(track)) <= set(shown_s)


def shown_by_a_decoder(content: bytes) -> list[float]:
    shown_s = []
    with av.open(io.BytesIO(content)) as container:
        for packet in container.demux(video=0):
            with suppress(av.error.InvalidDataError):
                shown_s += [round(frame.time, 6) for frame in packet.decode()]
    return sorted(shown_s)


def test_clusters_whose_clock_falls_back_are_all_looked_at(tmp_path: Path) -> None:
    """The cues name what comes before and after them."""
    first, hidden, last = (grey_frames(level, 4) for level in (220, 40, 220))
    times = [0, 1, 2, 3, 0, 1, 2, 3, 4, 5, 6, 7]
    parts = [cluster(at * 1000, block(frame)) for at, frame in zip(times, first + hidden + last, strict=True)]
    places = [sum(map(len, parts[:at])) for at in range(len(parts))]
    cues = [(times[at] * 1000, places[at], None) for at in range(len(parts)) if not 4 <= at < 8]
    video = sample_written(webm_of(parts, cues, SIDE), tmp_path)
    assert video.tracks[0].last_s == 11.0
    assert len(looked_at(video)) >= 5


def test_cues_that_lead_into_a_frame_are_not_followed(tmp_path: Path) -> None:
    """The decoys lie in void elements, within the clusters."""
    real, decoy = grey_frames(220, 9), grey_frames(40, 9)
    parts, cues, at = [], [], 0
    for second, (frame, other) in enumerate(zip(real, decoy, strict=True)):
        part = cluster(second * 1000, void(block(other)), block(frame))
        cues.append((second * 1000, at, part.index(block(other)) - 12))
        parts.append(part)
        at += len(part)
    video = sample_written(webm_of(parts, cues, SIDE), tmp_path)
    clip = video.windows[0].clip
    assert all(real[at] in clip for at in (0, 2, 4, 6))
    assert not any(frame in clip for frame in decoy)


def test_a_tail_that_looks_like_blocks_everywhere_takes_no_time(tmp_path: Path) -> None:
    frames = grey_frames(220, 2)
    tail = b"\xa3\x80" * 100_000 + b"\xa3"
    parts = [cluster(0, block(frames[0]), tail)]
    (tmp_path / "film").write_bytes(webm_of(parts, [(0, 0, None)], SIDE))
    started = time.process_time()
    video = sample_file(tmp_path / "film", CONFIG, LIMITS)
    assert time.process_time() - started < 5
    assert looked_at(video) == [0.0]


def test_a_track_that_promises_millions_of_samples_is_refused_before_room_is_made_for_them() -> None:
    lying = promised_samples()
    began_s = time.process_time()
    with pytest.raises(VideoTooLarge, match="max_promised_samples"):
        sample(lying)
    assert time.process_time() - began_s < 1, "FFmpeg takes five seconds"


def test_sound_that_is_not_coded_has_as_many_samples_as_it_likes() -> None:
    """Cameras record it; FFmpeg reads it by chunks."""
    lying = promised_samples()
    at = lying.rindex(b"stts") + 4
    plain = lying[: at + 12] + struct.pack(">I", 1) + lying[at + 16 :]
    assert sample(plain.replace(b"samr", b"sowt")).windows


def test_a_file_that_promises_years_is_refused_before_its_looks_are_planned() -> None:
    """IVF: one frame's time is a number of 64 bits. Found by `make fuzz`."""
    ivf = bytearray(make_clip(ClipSpec("libvpx", "ivf", width=64, height=48, seconds=0.6, options={"b": "1M"})))
    last = ivf.rindex(struct.pack("<Q", 5))
    struct.pack_into("<Q", ivf, last, 60_000_000)
    began_s = time.process_time()
    with pytest.raises(VideoTooLarge, match="max_seconds"):
        sample(bytes(ivf))
    assert time.process_time() - began_s < 1
