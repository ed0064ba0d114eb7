"""What clip_decoder makes of a request, row by row; `test_clip_decoder_pixels` looks at the pictures."""

from __future__ import annotations

import io
from fractions import Fraction
from types import ModuleType

import av
import numpy as np
import pytest
from clips import ClipSpec, cut_clip, frame_number, make_clip
from triton_seam import InferenceRequest, InferenceResponse, load_model, model_config

# In the square, a 320x240 picture lies between these rows.
PICTURE = slice(40, 280)


@pytest.fixture(scope="module")
def module() -> ModuleType:
    return load_model("clip_decoder")


@pytest.fixture
def model(module: ModuleType):
    instance = module.TritonPythonModel()
    instance.initialize({"model_config": model_config("clip_decoder")})
    return instance


UPRIGHT = [0, 0, 1, 1]


def request(*rows: tuple[bytes, list[int], list[int]]) -> InferenceRequest:
    """A request as Triton hands it over: clips shorter than the longest are filled up with zeros."""
    length = max(len(clip) for clip, _, _ in rows)
    clips = [np.frombuffer(clip.ljust(length, b"\0"), np.uint8) for clip, _, _ in rows]
    return InferenceRequest(
        {
            "CLIP": np.stack(clips),
            "FRAME_INDEX": np.array([index for _, index, _ in rows], np.int32),
            "DISPLAY": np.array([display for _, _, display in rows], np.int32),
        }
    )


def ask(model, clip: bytes, index: list[int]) -> InferenceResponse:
    [response] = model.execute([request((clip, index, UPRIGHT))])
    return response


def sound_in(response: InferenceResponse) -> list[int]:
    """SOUND of a request's only row; what cannot be shown has no size, and nothing but the letterbox value."""
    [sound], [sizes], [frames] = (response.array(name) for name in ("SOUND", "PICTURE_SIZE", "FRAMES"))
    for is_sound, size, frame in zip(sound, sizes.tolist(), frames, strict=True):
        assert (size != [0, 0], bool((frame != 114).any())) == (is_sound > 0, is_sound > 0)
    return sound.tolist()


def numbers(frames: np.ndarray) -> list[int]:
    return [frame_number(frame[PICTURE]) for frame in frames]


@pytest.mark.parametrize("container", ["matroska", "mp4"])
@pytest.mark.parametrize(
    "spec",
    [
        ClipSpec(keyframe_interval=1),
        ClipSpec(b_frames=0),
        ClipSpec(b_frames=3),
        ClipSpec(b_frames=3, options={"x264-params": "open-gop=1:keyint=10:min-keyint=10:scenecut=0"}),
        ClipSpec(codec="libvpx-vp9"),
        ClipSpec(codec="mpeg4", b_frames=2),
        ClipSpec(codec="libx265", b_frames=2, options={"x265-params": "log-level=none:keyint=10"}),
    ],
    ids=lambda spec: f"{spec.codec}-b{spec.b_frames}-k{spec.keyframe_interval}",
)
def test_frame_index_counts_in_presentation_order(model, spec: ClipSpec, container: str) -> None:
    clip = cut_clip(make_clip(spec), lambda place, packet: True, container)
    wanted = [0, 1, 2, 7, 9, 10, 13, 19]
    assert numbers(ask(model, clip, wanted).array()[0]) == wanted


def test_index_order_is_kept_and_repeats_are_copies(model) -> None:
    frames = ask(model, make_clip(), [5, 3, 3, 4, 0, 5, 5, 5]).array()[0]
    assert numbers(frames) == [5, 3, 3, 4, 0, 5, 5, 5]


@pytest.mark.parametrize("open_gop", [False, True])
def test_runs_with_gaps_between_them(model, open_gop: bool) -> None:
    # Decode order is presentation order without B-frames: keep 0, 20-23 and 50-57 of 60 frames, a keyframe every 10.
    options = {"x264-params": f"open-gop={int(open_gop)}:keyint=10:min-keyint=10:scenecut=0:bframes=0"}
    video = make_clip(ClipSpec(seconds=6, options=options))
    clip = cut_clip(video, lambda place, _: place in {0, *range(20, 24), *range(50, 58)})
    # Ranks: 0 is frame 0, 1-4 are 20-23, 5-12 are 50-57.
    shown = numbers(ask(model, clip, [0, 1, 4, 5, 8, 12, 12, 12]).array()[0])
    assert shown == [0, 20, 23, 50 % 28, 53 % 28, 57 % 28, 57 % 28, 57 % 28]


def test_a_wanted_leading_picture_has_the_run_before_it(model) -> None:
    options = {"x264-params": "open-gop=1:keyint=8:min-keyint=8:scenecut=0:bframes=3:b-adapt=0"}
    video = make_clip(ClipSpec(seconds=2.4, options=options))
    with av.open(io.BytesIO(video)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    keys = [place for place, packet in enumerate(packets) if packet.is_keyframe]
    leading = keys[1] + 1
    assert packets[leading].pts < packets[keys[1]].pts, "the encoder made no leading picture"
    ranks = sorted(packet.pts for packet in packets)
    number = ranks.index(packets[leading].pts)
    assert numbers(ask(model, video, [number] * 8).array()[0]) == [number] * 8


def test_rows_of_different_length_share_a_request(model) -> None:
    for container in ("matroska", "mp4"):
        short = make_clip(ClipSpec(seconds=1, container=container))
        long = make_clip(ClipSpec(seconds=2.8, first_frame=3, container=container))
        assert len(short) < len(long)
        index = list(range(8))
        [response] = model.execute(
            [request((short, index, UPRIGHT), (long, index, UPRIGHT), (short, index[::-1], UPRIGHT))]
        )
        frames = response.array()
        assert [numbers(row) for row in frames] == [index, [3 + i for i in index], index[::-1]]


def test_rows_that_share_a_clip_are_decoded_in_one_pass(
    model, module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A window that continues another must not begin at their keyframe again: one of many would cost their square."""
    decoded: list[int] = []
    run = module._decoding._decode_run
    counting = lambda codec, packets, *more: decoded.append(len(packets)) or run(codec, packets, *more)  # noqa: E731
    monkeypatch.setattr(module._decoding, "_decode_run", counting)
    long, other = make_clip(ClipSpec(keyframe_interval=100)), make_clip(ClipSpec(first_frame=3))
    rows = [(long, list(range(8)), UPRIGHT), (long, list(range(12, 20)), UPRIGHT), (other, [0] * 8, UPRIGHT)]
    [response] = model.execute([request(*rows, (long, [5] * 8, [180, 0, 1, 1]))])
    assert decoded == [20, 1, 6]
    shown = [numbers(row) for row in response.array()]
    assert shown[:3] == [list(range(8)), list(range(12, 20)), [3] * 8]
    assert response.array("SOUND").all()


def named_clip(codec: str) -> bytes:
    """A clip that says what its codec is beside a container that calls it another."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="nut") as container:
        container.metadata["wildgate_codec"] = codec
        track = container.add_mux_stream("zmbv", rate=25, width=64, height=48)
        packet = av.Packet(b"\1" * 100)
        packet.stream, packet.pts, packet.dts, packet.time_base = track, 0, 0, Fraction(1, 25)
        packet.is_keyframe = True
        container.mux(packet)
    return buffer.getvalue()


GOOD = make_clip()
GARBAGE = np.random.default_rng(7).bytes(5000)


def audio_clip() -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 8000
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("clip", "index", "display", "code", "message"),
    [
        (GARBAGE, [0] * 8, UPRIGHT, "INVALID_ARG", "the clip cannot be opened: Invalid data found"),
        (b"\0" * 100, [0] * 8, UPRIGHT, "INVALID_ARG", "the clip cannot be opened"),
        (b"", [0] * 8, UPRIGHT, "INVALID_ARG", "the clip cannot be opened"),
        (GOOD, [20] * 8, UPRIGHT, "INVALID_ARG", "FRAME_INDEX asks for frame 20 of a clip of 20 frames"),
        (GOOD, [-1] * 8, UPRIGHT, "INVALID_ARG", "FRAME_INDEX asks for frame -1 of a clip of 20 frames"),
        (GOOD, [0] * 8, [45, 0, 1, 1], "INVALID_ARG", "DISPLAY has the rotation 45, not 0, 90, 180 or 270"),
        (GOOD, [0] * 8, [0, 2, 1, 1], "INVALID_ARG", "DISPLAY has 2 for mirrored, not 0 or 1"),
        (GOOD, [0] * 8, [0, 0, 1, 0], "INVALID_ARG", "DISPLAY has pixels of 1:0"),
        (GOOD, [0] * 8, [0, 0, -4, 3], "INVALID_ARG", "DISPLAY has pixels of -4:3"),
        (audio_clip(), [0] * 8, UPRIGHT, "INVALID_ARG", "the clip has no video stream"),
        (GOOD.replace(b"avc1", b"evc1"), [0] * 8, UPRIGHT, "UNSUPPORTED", "there is no decoder for the clip's codec"),
        (GOOD.replace(b"avc1", b"zzzz"), [0] * 8, UPRIGHT, "UNSUPPORTED", "there is no decoder for the clip's codec"),
        (named_clip("zzzz"), [0] * 8, UPRIGHT, "UNSUPPORTED", "there is no decoder for the clip's codec"),
        (named_clip("aac"), [0] * 8, UPRIGHT, "UNSUPPORTED", "there is no decoder for the clip's codec"),
        (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n", [0] * 8, UPRIGHT, "INVALID_ARG", "cannot be opened"),
        (b"ffconcat version 1.0\nfile clip.mp4\n", [0] * 8, UPRIGHT, "INVALID_ARG", "cannot be opened"),
    ],
    ids=lambda value: str(value)[:24] if isinstance(value, str) else "",
)
def test_a_clip_at_fault_fails_its_own_request_only(
    model, clip: bytes, index: list[int], display: list[int], code: str, message: str
) -> None:
    good = request((GOOD, list(range(8)), UPRIGHT))
    before, refused, after = model.execute([good, request((clip, index, display)), good])
    assert refused.error.code == code
    assert message in str(refused.error)
    for response in (before, after):
        assert numbers(response.array()[0]) == list(range(8))


def test_one_bad_row_fails_the_request_it_came_in(model) -> None:
    rows = [(GOOD, list(range(8)), UPRIGHT), (GARBAGE, list(range(8)), UPRIGHT)]
    [response] = model.execute([request(*rows)])
    assert response.error.code == "INVALID_ARG"


def packets_of(video: bytes) -> list[av.Packet]:
    with av.open(io.BytesIO(video)) as container:
        return [packet for packet in container.demux(video=0) if packet.size]


def test_a_frame_that_does_not_decode_is_not_sound(model) -> None:
    broken = bytearray(cut_clip(make_clip(ClipSpec(keyframe_interval=1, seconds=1)), lambda *_: True))
    third = bytes(packets_of(broken)[2])
    at = broken.index(third)
    broken[at + 4 : at + len(third)] = b"\xff" * (len(third) - 4)
    response = ask(model, bytes(broken), [0, 1, 2, 3, 4, 5, 2, 7])
    assert sound_in(response) == [True, True, False, True, True, True, False, True]
    assert numbers(response.array()[0][[0, 1, 3, 4, 5, 7]]) == [0, 1, 3, 4, 5, 7]


def flagged(video: bytes, container: str) -> bytes:
    """The video with all its packets, every one called a keyframe."""
    return cut_clip(video, lambda _, packet: setattr(packet, "is_keyframe", True) or True, container)


LIARS = {
    "mpeg4": ("matroska", ClipSpec(codec="mpeg4", container="avi")),
    "mpeg4 with B-frames": ("matroska", ClipSpec(codec="mpeg4", container="avi", b_frames=2)),
    "mpeg2": ("matroska", ClipSpec(codec="mpeg2video", container="mpegts", fps=25, seconds=1)),
    "mpeg1": ("matroska", ClipSpec(codec="mpeg1video", container="mpegts", fps=25, seconds=1)),
    "msmpeg4": ("matroska", ClipSpec(codec="msmpeg4", container="avi")),
    "h263": ("mov", ClipSpec(codec="h263", container="mov", width=352, height=288)),
    "cinepak": ("mov", ClipSpec(codec="cinepak", container="mov", pix_fmt="rgb24")),
    "vp8": ("matroska", ClipSpec(codec="libvpx", container="webm", options={"b": "1M"})),
    "vp9": ("mp4", ClipSpec(codec="libvpx-vp9", container="webm")),
    "av1": ("mp4", ClipSpec(codec="libsvtav1", options={"preset": "12", "svtav1-params": "lp=1"})),
    "h264": ("mp4", ClipSpec()),
    "hevc": ("mp4", ClipSpec(codec="libx265", options={"x265-params": "log-level=none:keyint=10:bframes=0"})),
}


@pytest.mark.parametrize("name", LIARS)
def test_a_container_that_calls_every_frame_a_keyframe_is_not_believed(module: ModuleType, name: str) -> None:
    """Each frame is decoded by itself then, and only those that can be are sound."""
    container, spec = LIARS[name]
    video = make_clip(spec)
    with av.open(io.BytesIO(video)) as whole:
        true = [frame.key_frame for frame in whole.decode(video=0)]
    window = module.decode_window(
        flagged(video, container), range(len(true)), UPRIGHT, module.FrameScaler(320, 114), module.Limits(1 << 24)
    )
    assert [bool(sound) for sound in window.sound] == true
    assert 1 < sum(true) < len(true)


def test_a_recovery_point_is_sound_when_it_has_healed(model) -> None:
    """With x264's intra refresh a keyframe is where healing begins: only the first picture stands for itself."""
    options = {"x264-params": "intra-refresh=1:keyint=10:bframes=0"}
    video = make_clip(ClipSpec(width=160, height=128, seconds=3, options=options))
    second = [place for place, packet in enumerate(packets_of(video)) if packet.is_keyframe][1]
    clip = cut_clip(video, lambda place, _: place >= second)
    sound = sound_in(ask(model, clip, [0, 1, 2, 4, 6, 8, 9, 9]))
    assert sound == [False, False, False, False, False, True, True, True]


@pytest.mark.parametrize("damaged", [0, 4])
@pytest.mark.parametrize("codec", ["libx264", "mpeg4", "mpeg2video"])
def test_damage_that_the_decoder_conceals_is_told(model, codec: str, damaged: int) -> None:
    noise = lambda number, width, height: np.random.default_rng(number).integers(0, 255, (height, width, 3), np.uint8)  # noqa: E731
    video = bytearray(
        cut_clip(make_clip(ClipSpec(codec=codec, container="mp4", fps=25, seconds=0.4, paint=noise)), lambda *_: True)
    )
    packet = bytes(packets_of(video)[damaged])
    at = video.index(packet) + len(packet) // 3
    video[at : at + 40] = np.random.default_rng(1).bytes(40)
    sound = sound_in(ask(model, bytes(video), [0, 1, 2, 3, 4, 5, 6, 7]))
    assert sound == [2 if place == damaged else 1 for place in range(8)]


@pytest.mark.parametrize("codec", ["libx264", "libx265", "mpeg4", "libvpx", "libvpx-vp9"])
def test_a_run_that_begins_between_keyframes_is_not_sound(model, codec: str) -> None:
    options = {"x265-params": "log-level=none:keyint=10:bframes=0"} if codec == "libx265" else {"b": "1M"}
    video = make_clip(ClipSpec(codec=codec, container="matroska", options={} if codec == "libx264" else options))
    clip = cut_clip(video, lambda place, _: place >= 4)
    assert sound_in(ask(model, clip, [0, 1, 5, 6, 7, 8, 12, 15])) == [False] * 3 + [True] * 5


def test_of_a_codec_that_tells_no_types_of_pictures_the_container_is_believed(model) -> None:
    video = make_clip(ClipSpec(codec="qtrle", container="mov", pix_fmt="rgb24"))
    assert sound_in(ask(model, video, list(range(8, 16)))) == [True] * 8


def test_a_picture_that_takes_too_much_memory_is_refused(module: ModuleType) -> None:
    """4:4:4 of 10 bits has 6 bytes for each pixel: half as many pixels are let through."""
    spec = ClipSpec(pix_fmt="yuv444p10le", seconds=0.2)
    scaler = module.FrameScaler(320, 114)
    assert module.decode_window(make_clip(spec), [0], UPRIGHT, scaler, module.Limits(2 * 320 * 240)).sound.all()
    with pytest.raises(module.ClipRefusedError, match="a picture of 320x240 yuv444p10le is too large"):
        module.decode_window(make_clip(spec), [0], UPRIGHT, scaler, module.Limits(2 * 320 * 240 - 1))


def test_what_takes_too_long_is_given_up_and_said_so(module: ModuleType) -> None:
    decode = lambda processor_s: module.decode_window(  # noqa: E731
        GOOD, [0, 1], UPRIGHT, module.FrameScaler(320, 114), module.Limits(1 << 24, processor_s)
    )
    given_up, whole = decode(-1.0), decode(60.0)
    assert (given_up.sound.tolist(), whole.sound.tolist()) == ([3, 3], [1, 1])
    assert (given_up.frames == 114).all()
    assert given_up.cost[1] == 0 < whole.cost[0]
    assert whole.cost[1] == 2 * 320 * 240


def test_the_displayed_size_of_each_place_is_told(model) -> None:
    small, large = make_clip(ClipSpec(seconds=1)), make_clip(ClipSpec(width=640, height=200, seconds=1))
    rows = [(small, [0] * 8, [0, 0, 1, 1]), (small, [0] * 8, [90, 1, 4, 3]), (large, [0] * 8, [180, 0, 1, 2])]
    [response] = model.execute([request(*rows)])
    assert response.array("PICTURE_SIZE")[:, 0].tolist() == [[320, 240], [240, 427], [640, 400]]
    assert response.array("SOUND").all()


def test_a_picture_size_that_changes_within_a_clip_is_each_frame_s_own(model) -> None:
    parts = [
        make_clip(ClipSpec(container="h264", width=width, height=240, seconds=1, options={"x264-params": "keyint=5"}))
        for width in (320, 160)
    ]
    joined = cut_clip(b"".join(parts), lambda *_: True)
    response = ask(model, joined, [0, 4, 8, 9, 10, 14, 18, 19])
    assert sound_in(response) == [True] * 8
    assert response.array("PICTURE_SIZE")[0].tolist() == [[320, 240]] * 4 + [[160, 240]] * 4
    frames = response.array()[0]
    assert (frames[4:, :, :50] == 114).all(), "an upright picture has its bars at the sides"
    assert numbers(frames[:4]) == [0, 4, 8, 9]


def test_a_clip_cut_short_gives_the_frames_before_the_cut(model) -> None:
    clip = make_clip(ClipSpec(container="matroska"))
    with av.open(io.BytesIO(clip)) as container:
        tenth = [bytes(packet) for packet in container.demux(video=0) if packet.size][10]
    cut = clip[: clip.index(tenth)]
    assert numbers(ask(model, cut, list(range(8))).array()[0]) == list(range(8))


def test_a_surprise_is_internal_and_logged(model, module: ModuleType) -> None:
    surprising = InferenceRequest({"CLIP": np.zeros((1, 4), np.uint8)})
    failed, fine = model.execute([surprising, request((GOOD, list(range(8)), UPRIGHT))])
    assert (failed.error.code, str(failed.error)) == ("INTERNAL", "clip_decoder failed: AttributeError")
    assert "Traceback" in module.pb_utils.Logger.errors[-1]
    assert numbers(fine.array()[0]) == list(range(8))


def out_of_memory(*_: object, **__: object) -> None:
    """As FFmpeg says so."""
    raise av.error.MemoryError(12, "Cannot allocate memory")


class Exhausted:
    """Something of PyAV's whose `method` finds no memory; all else of it is as it is."""

    def __init__(self, whole: object, method: str) -> None:
        object.__setattr__(self, "_whole", whole)
        object.__setattr__(self, "_method", method)

    def __getattr__(self, name: str) -> object:
        return out_of_memory if name == self._method else getattr(self._whole, name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._whole, name, value)


@pytest.mark.parametrize("where", ["open", "demux", "decode"])
def test_a_lack_of_memory_is_no_fault_of_the_clip_s(
    model, module: ModuleType, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    if where == "open":
        monkeypatch.setattr(module._decoding.av, "open", out_of_memory)
    elif where == "demux":
        read = module._decoding._read_packets
        monkeypatch.setattr(
            module._decoding, "_read_packets", lambda container, stream: read(Exhausted(container, "demux"), stream)
        )
    else:
        run = module._decoding._decode_run
        monkeypatch.setattr(
            module._decoding, "_decode_run", lambda codec, *packets: run(Exhausted(codec, "decode"), *packets)
        )
    failed = ask(model, GOOD, list(range(8)))
    assert (failed.error.code, str(failed.error)) == ("INTERNAL", "clip_decoder failed: MemoryError")
