"""What is read of a file: little where the container allows it, and never at the price of another result."""

from __future__ import annotations

import gzip
import io
import random
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from ipaddress import ip_network
from pathlib import Path
from tempfile import NamedTemporaryFile

import av
import numpy as np
import pytest
from checkout import MEDIA
from clips import ClipSpec, make_clip
from media_host import Handler, MediaHost, serving

from wildgate_server.errors import InvalidVideo, UriNotFound, WildgateError
from wildgate_server.media.reading import WAYS_TO_READ
from wildgate_server.media.sample import UnfitIndex
from wildgate_server.media.sampled_video import SampledVideo, VideoLimits
from wildgate_server.media.video import Reading
from wildgate_server.sampling.offline import sample_content, sample_file
from wildgate_server.sampling.plan import SamplingConfig, longest_gap_s
from wildgate_server.sampling.sampler import sample_video
from wildgate_server.source.byte_source import ByteSource
from wildgate_server.source.content import Content
from wildgate_server.source.fetching import FetchConfig
from wildgate_server.source.local_file import VideoFile
from wildgate_server.source.remote_object import RemoteObject
from wildgate_server.source.remote_uri import HttpUrl
from wildgate_server.source.video_source import OpenableVideo

LIMITS = VideoLimits(max_bytes=1 << 26, max_pixels=1 << 22, max_seconds=600.0)
CONFIG = SamplingConfig(8, cheap_gap_s=2.0)  # by an index of keyframes alone nobody knows what is cheap
NEEDS = (LIMITS, CONFIG.max_gap_s, CONFIG.max_clip_bytes)
HERE = FetchConfig(timeout_s=30.0, private_networks=(ip_network("127.0.0.0/8"),))
# The same variable that `make conformance` takes.
MEDIA_FILES = sorted(MEDIA.iterdir()) if MEDIA.is_dir() else []

FORMATS = {
    "index first": ("mp4", {"movflags": "faststart"}),
    "index last": ("mp4", {}),
    "fragmented": ("mp4", {"movflags": "frag_keyframe+empty_moov+default_base_moof"}),
    "fragmented with an index": ("mp4", {"movflags": "frag_keyframe+empty_moov+default_base_moof+global_sidx"}),
    "quicktime": ("mov", {}),
    "matroska": ("matroska", {}),
    "matroska, cues first": ("matroska", {"reserve_index_space": "10000"}),
    "transport stream": ("mpegts", {}),
}
# What may be read of a file, as parts of it: eight keyframes are 0.018, and each costs some looking for.
FRACTIONS = {
    "index first": (0.08, 0.10),
    "index last": (0.08, 0.10),
    "fragmented": (0.08, 0.15),
    "fragmented with an index": (0.08, 0.15),
    "quicktime": (0.08, 0.10),
    "matroska": (0.08, 0.20),
    "matroska, cues first": (0.08, 0.20),
    "transport stream": (0.25, 0.25),
}


def noise(number: int, width: int, height: int) -> np.ndarray:
    """A picture of which a quarter stands still: the rest takes as many bytes as before, whatever was there."""
    blocks = np.random.default_rng(number).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    blocks[: height // 27] = np.random.default_rng(0).integers(0, 256, blocks[: height // 27].shape, np.uint8)
    return blocks.repeat(8, 0).repeat(8, 1)


@cache
def film(b_frames: int = 0, interval: int = 60) -> bytes:
    """15 s in about 5 MB with, by default, a keyframe every 2 s."""
    spec = ClipSpec(
        width=320, height=320, seconds=15, fps=30, keyframe_interval=interval, b_frames=b_frames, paint=noise
    )
    return make_clip(replace(spec, options={"preset": "ultrafast", "crf": "26"}))


@cache
def silence() -> bytes:
    """20 s of sound, encoded once."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as target:
        audio = target.add_stream("aac", rate=48000, layout="mono")
        for heard in range(0, 20 * 48000, 1024):
            samples = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            samples.sample_rate, samples.pts = 48000, heard
            target.mux(audio.encode(samples))
        target.mux(audio.encode(None))
    return buffer.getvalue()


def remuxed(content: bytes, container: str, options: dict[str, str], sound_after_s: float = 0.0) -> bytes:
    """The same packets in another container, with sound between them that goes on for so long."""
    with (
        NamedTemporaryFile() as file,  # an index first is written by reading the file anew
        av.open(io.BytesIO(content)) as source,
        av.open(io.BytesIO(silence())) as sound,
        av.open(file.name, "w", format=container, options=options) as target,
    ):
        video, audio = source.streams.video[0], sound.streams.audio[0]
        tracks = {stream: target.add_stream_from_template(stream, opaque=True) for stream in (video, audio)}
        pictures = [packet for packet in source.demux(video) if packet.size]
        end_s = max(packet.dts * packet.time_base for packet in pictures) + sound_after_s
        heard = [packet for packet in sound.demux(audio) if packet.size and 0 <= packet.dts * packet.time_base <= end_s]
        for packet in sorted([*heard, *pictures], key=lambda packet: packet.dts * packet.time_base):
            packet.stream = tracks[packet.stream]
            target.mux(packet)
        target.close()
        return Path(file.name).read_bytes()


@cache
def in_format(name: str, b_frames: int = 0, interval: int = 60) -> bytes:
    return remuxed(film(b_frames, interval), *FORMATS[name])


def sampled_whole(content: bytes, config: SamplingConfig = CONFIG) -> SampledVideo:
    """As sampled from memory, where every frame is looked at but for ISO media."""
    return sample_content(content, config, LIMITS)


def same(parts: SampledVideo, whole: SampledVideo) -> bool:
    """Whether two samples of a video differ in nothing but what it took to take them.

    Where only keyframes were read, it is not known how long a frame is shown.
    """
    costs = {"content_digest": "", "read_bytes": 0, "read_requests": 0, "read_ms": 0.0, "sample_ms": 0.0}

    def essence(video: SampledVideo) -> SampledVideo:
        tracks = [
            replace(track, windows=tuple(replace(window, shown_s=()) for window in track.windows))
            for track in video.tracks
        ]
        return replace(video, tracks=tuple(tracks), **costs)

    return essence(parts) == essence(whole)


def sampled_in_parts(content: bytes, directory: Path, config: SamplingConfig = CONFIG) -> SampledVideo:
    """As sampled from a file, which gives the same result."""
    (directory / "film").write_bytes(content)
    video = sample_file(directory / "film", config, LIMITS)
    assert same(video, sampled_whole(content, config))
    return video


@pytest.mark.parametrize("b_frames", [0, 2])
@pytest.mark.parametrize("name", FORMATS)
def test_a_local_file_is_read_in_parts(name: str, b_frames: int, tmp_path: Path) -> None:
    content = in_format(name, b_frames)
    video = sampled_in_parts(content, tmp_path)
    assert video.content_bytes == len(content)
    assert video.clip_bytes < video.read_bytes <= FRACTIONS[name][0] * len(content)


@pytest.mark.parametrize("name", FORMATS)
def test_an_object_behind_http_is_read_in_parts(name: str) -> None:
    content = in_format(name)
    with serving(MediaHost(content)) as host:
        video = sample_video(RemoteObject(HttpUrl.parsed(host.uri), HERE), CONFIG, LIMITS)
        asked = len(host.asked)
    assert same(video, sampled_whole(content))
    assert video.read_requests == asked <= 48
    assert video.clip_bytes < video.read_bytes <= FRACTIONS[name][1] * len(content)
    assert video.read_ms > 0


def test_a_host_without_ranges_gives_the_same_result() -> None:
    content = in_format("index last")
    with serving(MediaHost(content, serves_ranges=False)) as host:
        video = sample_video(RemoteObject(HttpUrl.parsed(host.uri), HERE), CONFIG, LIMITS)
    assert same(video, sampled_whole(content))
    assert (video.read_bytes, video.read_requests) == (len(content), 1)
    assert video.content_digest.startswith("blake3-sampled:"), "as of what is read in parts elsewhere"


def by_node(number: int, handler: Handler) -> bool:
    handler.answer(ETag=f'"{number}"')
    return True


def refusing_ranges(number: int, handler: Handler) -> bool:
    if is_range := "Range" in handler.headers:
        handler.say(403, b"")
    return is_range


def compressing(number: int, handler: Handler) -> bool:
    handler.say(200, gzip.compress(handler.host.content), Content_Encoding="gzip")
    return True


@pytest.mark.parametrize("misbehave", [by_node, refusing_ranges, compressing])
@pytest.mark.parametrize("name", ["index last", "matroska"])
def test_a_host_of_its_own_ways_gives_the_same_result(name: str, misbehave: Callable[[int, Handler], bool]) -> None:
    content = in_format(name)
    with serving(MediaHost(content, misbehave=misbehave)) as host:
        video = sample_video(RemoteObject(HttpUrl.parsed(host.uri), HERE), CONFIG, LIMITS)
    assert same(video, sampled_whole(content))
    assert video.read_bytes < 2 * len(content)


@pytest.mark.parametrize("answers", [1, 2, 3, 5])
@pytest.mark.parametrize("name", FORMATS)
def test_a_host_that_fails_halfway_does_not_make_a_shorter_video(
    name: str, answers: int, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(number: int, handler: Handler) -> bool:
        if number >= answers:
            handler.say(403, b"")
        return number >= answers

    with serving(MediaHost(in_format(name), misbehave=fail)) as host, pytest.raises(UriNotFound, match="403"):
        sample_video(RemoteObject(HttpUrl.parsed(host.uri), HERE), CONFIG, LIMITS)
    assert capfd.readouterr() == ("", ""), "nor does it say so again and again"


def test_what_was_read_in_parts_has_a_digest_of_its_own(tmp_path: Path) -> None:
    content = in_format("index first")
    files = {"film": content, "same": content, "other": in_format("index first", b_frames=2)}
    digests = {}
    for name, text in files.items():
        (tmp_path / name).write_bytes(text)
        digests[name] = sample_file(tmp_path / name, CONFIG, LIMITS).content_digest
    assert digests["film"] == digests["same"] != digests["other"]
    assert digests["film"].startswith("blake3-sampled:")
    assert sampled_whole(content).content_digest.startswith("blake3:")


def test_a_sampled_digest_tells_apart_what_only_coverage_tells_apart(tmp_path: Path) -> None:
    """The second shows the same, and 0.4 seconds more that nobody looked at."""
    videos = []
    for seconds in (2.5, 2.9):
        make_clip(ClipSpec(seconds=seconds, keyframe_interval=10), tmp_path / "film")
        videos.append(sample_file(tmp_path / "film", CONFIG, LIMITS))
    assert videos[0].windows[0].times_s == videos[1].windows[0].times_s
    assert videos[0].content_digest != videos[1].content_digest


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(("interval", "max_gap_s"), [(60, 2.0), (1000, 2.0), (10, 2.0), (5, 2.0), (13, 2.0), (20, 0.7)])
def test_keyframes_at_other_distances(name: str, interval: int, max_gap_s: float, tmp_path: Path) -> None:
    """Sparse ones take the frames between them; of dense ones some are left out."""
    video = sampled_in_parts(
        remuxed(short_film(interval), *FORMATS[name]), tmp_path, replace(CONFIG, max_gap_s=max_gap_s)
    )
    looked_at = [time_s for window in video.windows for time_s in window.times_s]
    assert longest_gap_s(video.default_track.first_s, looked_at, video.default_track.last_s) <= max_gap_s + 1e-3


@cache
def short_film(interval: int) -> bytes:
    spec = ClipSpec(width=320, height=320, seconds=9, keyframe_interval=interval, b_frames=1, paint=noise)
    return make_clip(replace(spec, options={"preset": "ultrafast", "crf": "20"}))


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("budget", [{"max_frames": 3}, {"max_clip_bytes": 100_000}, {"max_decoded_frames": 2}], ids=str)
def test_budgets_hold_however_a_file_is_read(name: str, budget: dict[str, int], tmp_path: Path) -> None:
    sampled_in_parts(in_format(name), tmp_path, SamplingConfig(8, **budget))


@pytest.mark.parametrize("name", FORMATS)
def test_sound_that_goes_on_for_longer_does_not_lengthen_the_video(name: str, tmp_path: Path) -> None:
    video = sampled_in_parts(remuxed(short_film(20), *FORMATS[name], sound_after_s=5), tmp_path)
    assert video.default_track.last_s - video.default_track.first_s == pytest.approx(8.9, abs=0.01)


@pytest.mark.parametrize("codec", ["libvpx", "libvpx-vp9"])
def test_webm(codec: str, tmp_path: Path) -> None:
    spec = ClipSpec(width=320, height=320, seconds=30, keyframe_interval=20, codec=codec, container="webm", paint=noise)
    content = make_clip(replace(spec, options={"deadline": "realtime", "cpu-used": "8", "b": "4M", "g": "20"}))
    (tmp_path / "film").write_bytes(content)
    video = sample_file(tmp_path / "film", CONFIG, LIMITS)
    assert video.read_bytes < 0.5 * len(content)
    # Cues tell no sizes between keyframes: what stands out by size, as in VP9, is looked at in a file read whole alone.
    assert codec == "libvpx-vp9" or same(video, sampled_whole(content))


@pytest.mark.parametrize("container", ["webm", "mpegts"])
def test_a_small_file_is_read_whole_so_that_sizes_tell(container: str, tmp_path: Path) -> None:
    codec = "libvpx-vp9" if container == "webm" else "libx264"
    content = make_clip(ClipSpec(seconds=9, keyframe_interval=20, codec=codec, container=container))
    assert read_in_vain(content, tmp_path)


def read_in_vain(content: bytes, tmp_path: Path) -> bool:
    """Whether a file is read whole after all, with the result that has to have."""
    return sampled_in_parts(content, tmp_path).read_bytes == len(content)


def test_cues_that_lie_are_not_believed(tmp_path: Path) -> None:
    content = in_format("matroska")
    cue = b"\xb3\x82\x07\xd0\xb7"  # CueTime 2000, and the positions
    assert content.count(cue) == 1
    assert not read_in_vain(content, tmp_path)
    assert read_in_vain(content.replace(cue, b"\xb3\x82\x07\xd1\xb7"), tmp_path)


def test_without_cues_all_is_read(tmp_path: Path) -> None:
    assert read_in_vain(in_format("matroska").replace(b"\x1c\x53\xbb\x6b", b"\xec\x53\xbb\x6b"), tmp_path)


def test_a_transport_stream_that_does_not_say_where_keyframes_are(tmp_path: Path) -> None:
    content = bytearray(in_format("transport stream"))
    assert not read_in_vain(bytes(content), tmp_path)
    for packet in range(0, len(content), 188):
        if content[packet + 3] & 0x20 and content[packet + 4]:
            content[packet + 5] &= ~0x40
    assert read_in_vain(bytes(content), tmp_path)


@pytest.mark.parametrize("start_s", [1000, 95430, 95440])
def test_time_stamps_that_begin_anew(start_s: int, tmp_path: Path) -> None:
    """They do so after 2 ** 33 ticks, at 95443.7 s."""
    content = remuxed(film(), "mpegts", {"output_ts_offset": str(start_s)})
    video = sampled_in_parts(content, tmp_path)
    assert video.default_track.last_s - video.default_track.first_s == pytest.approx(14.967, abs=0.01)


@pytest.mark.parametrize("times", [2, 3])
def test_joined_transport_streams_are_read_whole(times: int, tmp_path: Path) -> None:
    [track] = sampled_in_parts(times * in_format("transport stream"), tmp_path).tracks
    assert track.last_s - track.first_s == pytest.approx(times * 15 - 1 / 30, abs=0.01)


def outcome(source: OpenableVideo, max_gap_s: float) -> SampledVideo | str:
    try:
        return sample_video(source, replace(CONFIG, max_gap_s=max_gap_s), LIMITS)
    except WildgateError as error:
        return f"{type(error).__name__}: {error.message}"
    except MemoryError:  # a size that damage made absurd
        return "out of memory"


def looked_at(video: SampledVideo) -> set[float]:
    """Read in parts, a video with costly frames between keyframes shows nothing of these."""
    return {time_s for window in video.windows for time_s in window.times_s}


@pytest.mark.skipif(not MEDIA_FILES, reason="no media files in MEDIA")
@pytest.mark.parametrize("file", MEDIA_FILES, ids=lambda file: file.name)
def test_real_media_in_parts_and_whole(file: Path) -> None:
    content = file.read_bytes()
    with serving(MediaHost(content)) as host:
        for max_gap_s in (2.0, 0.3):
            whole = outcome(Content(content), max_gap_s)
            for source in (VideoFile(file), RemoteObject(HttpUrl.parsed(host.uri), HERE)):
                parts = outcome(source, max_gap_s)
                assert parts == whole or same(parts, whole) or looked_at(parts) < looked_at(whole)


@pytest.mark.skipif(not MEDIA_FILES, reason="no media files in MEDIA")
def test_an_index_tells_what_all_packets_tell() -> None:
    """The samples by the index are those of a demuxer that reads every byte."""
    assert [index_tells_all(file) for file in MEDIA_FILES].count(True) > 0, "of no file was the index read"


def index_tells_all(file: Path) -> bool:
    """Fails where the index of a file says something else; False if it has none, or is not a video."""
    source = ByteSource.of_content(file.read_bytes(), 1 << 30)
    by_index, *_, whole = WAYS_TO_READ
    try:
        with by_index(source, *NEEDS) as index, whole(source, *NEEDS) as all_of_it:
            assert [list(track.samples) for track in index.tracks] == [
                list(track.samples) for track in all_of_it.tracks
            ], file.name
            assert described(index) == described(all_of_it), file.name
    except (UnfitIndex, InvalidVideo):
        return False
    return True


def described(reading: Reading) -> tuple[object, ...]:
    [track] = reading.tracks
    keyframes = [at for at, sample in enumerate(track.samples) if sample.is_keyframe][:2] or [0]
    with reading.open([keyframes]) as [video]:
        clip = video.clip(keyframes)
        coding = video.coding([keyframes])
        return video.codec, video.profile, video.width, video.height, coding, clip.display, clip.data


@pytest.fixture(scope="module", params=FORMATS)
def damaged(request: pytest.FixtureRequest) -> list[bytes]:
    """Videos with bytes changed, cut out and cut off."""
    rng = random.Random(5)
    content = remuxed(short_film(20), *FORMATS[request.param])
    versions = [content[: rng.randrange(len(content))] for _ in range(3)]
    for _ in range(7):
        version = bytearray(content)
        for _ in range(rng.choice((1, 20, 2000))):
            # Headers are where it hurts.
            end = rng.choice((200, 5000, len(content)))
            at = rng.randrange(end) if rng.random() < 0.7 else len(content) - 1 - rng.randrange(end)
            version[at] = rng.randrange(256)
        versions.append(bytes(version))
    start = rng.randrange(len(content))
    versions.append(content[:start] + content[start + 1000 :])
    return versions


def test_damaged_files_are_scored_or_refused_in_time(damaged: list[bytes], tmp_path: Path) -> None:
    """Whatever lies in a file: an answer or an error of ours, and no more is read than there is."""
    for version in damaged:
        (tmp_path / "film").write_bytes(version)
        started = time.process_time()
        result = outcome(VideoFile(tmp_path / "film"), 2.0)
        assert time.process_time() - started < 10
        if isinstance(result, SampledVideo):
            assert result.read_bytes <= len(version)
            assert result.windows
