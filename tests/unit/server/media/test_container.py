"""Reading packets and copying them into clips, on real media; anything but a plain media file is refused unopened."""

from __future__ import annotations

import ctypes
import io
import os
import random
import socket
from collections.abc import Iterator
from pathlib import Path

import av
import laid_out_webm
import mp4_boxes
import numpy as np
import pytest
from av.stream import Disposition
from clips import ClipSpec, make_clip

from wildgate_server.errors import CorruptVideo, NotAVideo, NoVideoStream
from wildgate_server.media.container import open_video
from wildgate_server.media.sampled_video import Display, VideoLimits

LIMITS = VideoLimits(max_bytes=1 << 26, max_pixels=1 << 22, max_seconds=600.0)

H264 = ClipSpec(width=160, height=96, seconds=1.5, b_frames=2)


@pytest.fixture(scope="module")
def h264() -> bytes:
    return make_clip(H264)


def sound(container: str, codec: str, cover: bool = False) -> bytes:
    """A tenth of a second of silence, with a cover picture on request."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as output:
        audio = output.add_stream(codec, rate=48000, layout="mono")
        if cover:
            picture = output.add_stream("mjpeg", rate=1)
            picture.width, picture.height, picture.pix_fmt = 32, 32, "yuvj420p"
            picture.disposition = Disposition.attached_pic
            image = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), "rgb24")
            output.mux(picture.encode(image.reformat(format="yuvj420p")))
            output.mux(picture.encode(None))
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4800), np.int16), "s16", "mono")
        frame.sample_rate = 48000
        output.mux(audio.encode(frame))
        output.mux(audio.encode(None))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("spec", "format_name", "codec"),
    [
        (H264, "mov", "h264"),
        (ClipSpec(container="matroska", width=160, height=96), "matroska", "h264"),
        (ClipSpec(container="mpegts", width=160, height=96, b_frames=2), "mpegts", "h264"),
        (ClipSpec(container="flv", width=160, height=96), "flv", "h264"),
        (ClipSpec(codec="libvpx-vp9", container="webm", width=160, height=96), "matroska", "vp9"),
        (ClipSpec(codec="mpeg4", container="avi", width=160, height=96), "avi", "mpeg4"),
        (ClipSpec(codec="mpeg2video", container="mpegts", width=160, height=96, fps=25), "mpegts", "mpeg2video"),
        (ClipSpec(codec="mjpeg", container="mov", width=160, height=96, pix_fmt="yuvj420p"), "mov", "mjpeg"),
    ],
    ids=lambda value: value.codec + "-" + value.container if isinstance(value, ClipSpec) else "",
)
def test_a_video_is_described_as_a_decoder_finds_it(spec: ClipSpec, format_name: str, codec: str) -> None:
    content = make_clip(spec)
    with av.open(io.BytesIO(content)) as container:
        stream = container.streams.video[0]
        decoded = [(frame.pts * float(stream.time_base), frame.width, frame.height) for frame in container.decode(0)]
    with open_video(io.BytesIO(content), LIMITS) as [video]:
        assert (video.format, video.codec, video.width, video.height) == (format_name, codec, 160, 96)
        assert sorted(sample.time_s for sample in video.samples) == pytest.approx([time_s for time_s, _, _ in decoded])
        assert video.samples[0].is_keyframe
        assert all(sample.displayed for sample in video.samples)


def test_keyframes_are_told_from_other_frames(h264: bytes) -> None:
    with open_video(io.BytesIO(h264), LIMITS) as [video]:
        assert [sample.time_s for sample in video.samples if sample.is_keyframe] == [0.0, 1.0]


def test_a_clip_holds_the_packets_asked_for_in_presentation_order(h264: bytes) -> None:
    with open_video(io.BytesIO(h264), LIMITS) as [video]:
        indices = [0, 1, 2, 3, 10]
        clip = video.clip(indices)
        times_s = [video.samples[at].time_s for at in indices]
    with av.open(io.BytesIO(clip.data), options={"ignore_editlist": "1"}) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    assert [packet.is_keyframe for packet in packets] == [True, False, False, False, True]
    assert np.argsort([packet.pts for packet in packets]).tolist() == np.argsort(times_s).tolist()
    assert all(packet.pts >= packet.dts >= 0 for packet in packets)
    assert len({packet.pts for packet in packets}) == len(packets)
    assert b"elst" not in clip.data, "an edit list could hide the first frames"


def test_clips_of_one_video_do_not_disturb_each_other(h264: bytes) -> None:
    """The packets are the video's own, and each clip gives them times of its own."""
    with open_video(io.BytesIO(h264), LIMITS) as [video]:
        first = video.clip([0, 1, 2])
        video.clip([10, 11])
        assert video.clip([0, 1, 2]) == first
        assert [sample.time_s for sample in video.samples][:3] == pytest.approx([0.0, 0.3, 0.1])


def test_a_codec_that_mp4_does_not_take_goes_into_another_format() -> None:
    content = make_clip(ClipSpec(codec="libvpx", container="webm", width=160, height=96, options={"b": "1M"}))
    with open_video(io.BytesIO(content), LIMITS) as [video]:
        clip = video.clip([0])
    assert clip.display == Display()
    with av.open(io.BytesIO(clip.data)) as container:
        assert container.format.name.startswith("matroska")
        assert sum(1 for _ in container.decode(video=0)) == 1


def test_what_an_edit_list_cuts_away_is_not_displayed(h264: bytes) -> None:
    cut = mp4_boxes.starting_at(h264, mp4_boxes.start_of(h264) + 4 * 1024)  # 4 frames later
    with open_video(io.BytesIO(cut), LIMITS) as [video]:
        shown = sorted(sample.time_s for sample in video.samples if sample.displayed)
        hidden = [sample.time_s for sample in video.samples if not sample.displayed]
    assert len(hidden) == 4
    assert shown == pytest.approx([at / 10 for at in range(11)])
    assert max(hidden) < shown[0]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\0" * 4096, id="zeros"),
        pytest.param(random.Random(1).randbytes(1 << 16), id="noise"),
        pytest.param(b"just a text\n" * 100, id="text"),
        pytest.param(b"<html><video src='a.mp4'></video></html>", id="html"),
        pytest.param(b"\x89PNG\r\n\x1a\n" + b"\0" * 100, id="png"),
        pytest.param(b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", id="mp4 brand alone"),
    ],
)
def test_not_a_video(content: bytes) -> None:
    with pytest.raises(NotAVideo) as refusal, open_video(io.BytesIO(content), LIMITS):
        pass
    assert refusal.value.field == "source"


def test_an_mp4_cut_before_its_index_is_not_a_video(h264: bytes) -> None:
    assert h264.index(b"mdat") < h264.index(b"moov")
    with pytest.raises(NotAVideo), open_video(io.BytesIO(h264[: h264.index(b"moov")]), LIMITS):
        pass


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(("wav", "pcm_s16le", False), id="wav"),
        pytest.param(("mp4", "aac", False), id="m4a"),
        pytest.param(("mpegts", "mp2", False), id="ts"),
        pytest.param(("mp4", "aac", True), id="m4a with a cover"),
    ],
)
def test_sound_alone_has_no_video_stream(content: tuple[str, str, bool]) -> None:
    with pytest.raises(NoVideoStream), open_video(io.BytesIO(sound(*content)), LIMITS):
        pass


def test_a_header_without_frames_is_corrupt() -> None:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4", options={"movflags": "empty_moov+frag_keyframe"}) as output:
        stream = output.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        output.start_encoding()
    with pytest.raises(CorruptVideo), open_video(io.BytesIO(buffer.getvalue()), LIMITS):
        pass


def test_an_encrypted_video_is_corrupt_even_where_its_noise_could_be_decoded(h264: bytes) -> None:
    encrypted = io.BytesIO()
    scheme = {"encryption_scheme": "cenc-aes-ctr", "encryption_key": "00" * 16, "encryption_kid": "ab" * 16}
    with av.open(io.BytesIO(h264)) as clear, av.open(encrypted, "w", format="mp4", options=scheme) as output:
        track = output.add_stream_from_template(clear.streams.video[0])
        for packet in clear.demux(video=0):
            if packet.size:
                packet.stream = track
                output.mux(packet)
    webm = laid_out_webm.webm_of([laid_out_webm.cluster(0, laid_out_webm.block(bytes(300)))], [], 64, key=b"k" * 16)
    for content in (encrypted.getvalue(), webm):
        with pytest.raises(CorruptVideo, match="encrypted"), open_video(io.BytesIO(content), LIMITS):
            pass


def test_a_video_cut_short_keeps_what_came_before(h264: bytes) -> None:
    content = make_clip(ClipSpec(container="mpegts", width=160, height=96))
    cut = content[: len(content) // 2]
    with open_video(io.BytesIO(content), LIMITS) as [whole], open_video(io.BytesIO(cut), LIMITS) as [half]:
        assert 0 < len(half.samples) < len(whole.samples)
        times = len(half.samples)
        assert [sample.time_s for sample in half.samples] == [sample.time_s for sample in whole.samples][:times]


class Watch:
    """Tells whether a file was opened, by inotify(7)."""

    _IN_OPEN = 0x20

    def __init__(self, file: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._fd = libc.inotify_init1(os.O_NONBLOCK)
        assert libc.inotify_add_watch(self._fd, os.fsencode(file), self._IN_OPEN) >= 0

    def opened(self) -> bool:
        try:
            return bool(os.read(self._fd, 4096))
        except BlockingIOError:
            return False

    def close(self) -> None:
        os.close(self._fd)


@pytest.fixture
def secret(tmp_path: Path, h264: bytes) -> Path:
    """A video that a playlist may name."""
    file = tmp_path / "secret.ts"
    file.write_bytes(make_clip(ClipSpec(container="mpegts", width=64, height=64, seconds=0.5)))
    return file


@pytest.fixture
def watch(secret: Path) -> Iterator[Watch]:
    watch = Watch(secret)
    yield watch
    secret.read_bytes()
    assert watch.opened(), "the watch must be able to see it"
    watch.close()


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A server that nobody may connect to."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server
        with pytest.raises(BlockingIOError):
            server.accept()


PLAYLISTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{url}\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile '{url}'\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet '
    'mimeType="video/mp4"><Representation id="1"><BaseURL>{url}</BaseURL></Representation></AdaptationSet></Period>'
    "</MPD>",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {port} RTP/AVP 96\n"
    "a=rtpmap:96 H264/90000\n",
    "ram": "rtsp://127.0.0.1:{port}/a\n",
}


@pytest.mark.parametrize("kind", PLAYLISTS)
@pytest.mark.parametrize("scheme", ["", "file:", "http:"])
def test_a_playlist_is_refused_and_opens_nothing(
    kind: str, scheme: str, secret: Path, watch: Watch, listener: socket.socket
) -> None:
    port = listener.getsockname()[1]
    url = f"http://127.0.0.1:{port}/a.ts" if scheme == "http:" else f"{scheme}{secret}"
    content = PLAYLISTS[kind].format(url=url, port=port).encode()
    with pytest.raises(NotAVideo), open_video(io.BytesIO(content), LIMITS):
        pass
    assert not watch.opened()


def test_a_data_reference_to_another_file_opens_nothing(h264: bytes, secret: Path, watch: Watch) -> None:
    """A QuickTime file may say that its data lies in another file ('alis' and 'url ' references)."""
    box = h264.index(b"url ")
    for name in (b"alis", b"url "):
        content = h264[:box] + name + b"\0\0\0\0" + h264[box + 8 :]  # not self-contained any more
        try:
            with open_video(io.BytesIO(content), LIMITS) as [video]:
                video.clip([0])
        except (NotAVideo, CorruptVideo):
            pass
        assert not watch.opened()
