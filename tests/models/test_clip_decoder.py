"""What clip_decoder makes of a request, row by row; `test_clip_decoder_pixels` looks at the pictures."""

from __future__ import annotations

import io
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


def request(*rows: tuple[bytes, list[int], int]) -> InferenceRequest:
    """A request as Triton hands it over: clips shorter than the longest are filled up with zeros."""
    length = max(len(clip) for clip, _, _ in rows)
    clips = [np.frombuffer(clip.ljust(length, b"\0"), np.uint8) for clip, _, _ in rows]
    return InferenceRequest(
        {
            "CLIP": np.stack(clips),
            "FRAME_INDEX": np.array([index for _, index, _ in rows], np.int32),
            "ROTATION": np.array([[rotation] for _, _, rotation in rows], np.int32),
        }
    )


def ask(model, clip: bytes, index: list[int], rotation: int = 0) -> InferenceResponse:
    [response] = model.execute([request((clip, index, rotation))])
    return response


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
        [response] = model.execute([request((short, index, 0), (long, index, 0), (short, index[::-1], 0))])
        frames = response.array()
        assert [numbers(row) for row in frames] == [index, [3 + i for i in index], index[::-1]]


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
    ("clip", "index", "rotation", "code", "message"),
    [
        (GARBAGE, [0] * 8, 0, "INVALID_ARG", "the clip is no Matroska or MP4 file: Invalid data found"),
        (b"\0" * 100, [0] * 8, 0, "INVALID_ARG", "the clip is no Matroska or MP4 file"),
        (b"", [0] * 8, 0, "INVALID_ARG", "the clip is no Matroska or MP4 file"),
        (GOOD, [20] * 8, 0, "INVALID_ARG", "FRAME_INDEX asks for frame 20 of a clip of 20 frames"),
        (GOOD, [-1] * 8, 0, "INVALID_ARG", "FRAME_INDEX asks for frame -1 of a clip of 20 frames"),
        (GOOD, [0] * 8, 45, "INVALID_ARG", "ROTATION is 45, not 0, 90, 180 or 270"),
        (audio_clip(), [0] * 8, 0, "INVALID_ARG", "the clip has no video stream"),
        (GOOD.replace(b"avc1", b"evc1"), [0] * 8, 0, "UNSUPPORTED", "there is no decoder for the clip's codec"),
        (GOOD.replace(b"avc1", b"zzzz"), [0] * 8, 0, "UNSUPPORTED", "there is no decoder for the clip's codec"),
        (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n", [0] * 8, 0, "INVALID_ARG", "no Matroska or MP4 file"),
        (b"ffconcat version 1.0\nfile clip.mp4\n", [0] * 8, 0, "INVALID_ARG", "no Matroska or MP4 file"),
    ],
    ids=lambda value: str(value)[:24] if isinstance(value, str) else "",
)
def test_a_clip_at_fault_fails_its_own_request_only(
    model, clip: bytes, index: list[int], rotation: int, code: str, message: str
) -> None:
    good = request((GOOD, list(range(8)), 0))
    before, refused, after = model.execute([good, request((clip, index, rotation)), good])
    assert refused.error.code == code
    assert message in str(refused.error)
    for response in (before, after):
        assert numbers(response.array()[0]) == list(range(8))


def test_one_bad_row_fails_the_request_it_came_in(model) -> None:
    rows = [(GOOD, list(range(8)), 0), (GARBAGE, list(range(8)), 0)]
    [response] = model.execute([request(*rows)])
    assert response.error.code == "INVALID_ARG"


def test_a_frame_that_does_not_decode_is_named(model) -> None:
    broken = bytearray(cut_clip(make_clip(ClipSpec(keyframe_interval=1, seconds=1)), lambda *_: True))
    with av.open(io.BytesIO(broken)) as container:
        third = [bytes(packet) for packet in container.demux(video=0) if packet.size][2]
    at = broken.index(third)
    broken[at + 4 : at + len(third)] = b"\xff" * (len(third) - 4)
    assert numbers(ask(model, bytes(broken), [0, 1, 3, 4, 5, 6, 7, 8]).array()[0]) == [0, 1, 3, 4, 5, 6, 7, 8]
    refused = ask(model, bytes(broken), [0, 1, 2, 3, 4, 5, 6, 7])
    assert (refused.error.code, str(refused.error)) == ("INVALID_ARG", "frame 2 of the clip cannot be decoded")


def test_a_clip_cut_short_gives_the_frames_before_the_cut(model) -> None:
    clip = make_clip(ClipSpec(container="matroska"))
    with av.open(io.BytesIO(clip)) as container:
        tenth = [bytes(packet) for packet in container.demux(video=0) if packet.size][10]
    cut = clip[: clip.index(tenth)]
    assert numbers(ask(model, cut, list(range(8))).array()[0]) == list(range(8))


def test_a_surprise_is_internal_and_logged(model, module: ModuleType) -> None:
    surprising = InferenceRequest({"CLIP": np.zeros((1, 4), np.uint8)})
    failed, fine = model.execute([surprising, request((GOOD, list(range(8)), 0))])
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
        monkeypatch.setattr(module.av, "open", out_of_memory)
    elif where == "demux":
        read = module._read_packets
        monkeypatch.setattr(
            module, "_read_packets", lambda container, stream: read(Exhausted(container, "demux"), stream)
        )
    else:
        run = module._decode_run
        monkeypatch.setattr(module, "_decode_run", lambda codec, *packets: run(Exhausted(codec, "decode"), *packets))
    failed = ask(model, GOOD, list(range(8)))
    assert (failed.error.code, str(failed.error)) == ("INTERNAL", "clip_decoder failed: MemoryError")
