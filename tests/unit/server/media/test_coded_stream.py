"""How real streams are coded, and what stays unknown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from clips import ClipSpec, make_clip
from coded_packets import stream_of

from wildgate_server.media.coded_stream import DeclaredStream
from wildgate_server.media.nal_units import MAX_NAL_UNITS, avcc_units, hvcc_units, only_parameter_set
from wildgate_server.media.sampled_video import Coding


def coding_of(content: bytes) -> Coding:
    declared, packets, _ = stream_of(content)
    return declared.coding(packets, 0)


def test_a_vp9_profile_that_is_not_read_is_unknown() -> None:
    content = make_clip(ClipSpec("libvpx-vp9", "webm", seconds=0.3, pix_fmt="yuv444p"))
    assert coding_of(content) == Coding(delay=0)


def x265(parameters: str, **changes) -> ClipSpec:
    return ClipSpec(
        codec="libx265", seconds=1, options={"x265-params": f"log-level=none:keyint=5:{parameters}"}, **changes
    )


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (ClipSpec(), {}),
        (ClipSpec(b_frames=3), {}),
        (ClipSpec(container="mpegts"), {}),
        (ClipSpec(options={"x264-params": "open-gop=1:keyint=5:min-keyint=5:bframes=2"}), {"clean_keyframes": False}),
        (ClipSpec(options={"x264-params": "interlaced=1"}), {"interlaced": True}),
        (ClipSpec(options={"x264-params": "colormatrix=bt709:fullrange=on"}), {"matrix": 1, "full_range": True}),
        (ClipSpec(pix_fmt="yuv420p10le"), {"bit_depth": 10}),
        (x265("open-gop=0:bframes=2"), {}),
        (x265("open-gop=1:bframes=2"), {"clean_keyframes": False}),
        (x265("open-gop=0:colormatrix=bt709"), {"matrix": 1}),
        (x265("open-gop=0:range=full"), {"full_range": None}),
        (x265("open-gop=0:repeat-headers=1"), {}),
        (x265("open-gop=0", pix_fmt="yuv420p10le"), {"bit_depth": 10}),
        (ClipSpec("libvpx-vp9"), {}),
    ],
    ids=lambda value: f"{value.codec}-{value.container}-{value.options}" if isinstance(value, ClipSpec) else "",
)
def test_coding(spec: ClipSpec, expected: dict[str, object]) -> None:
    usual = Coding("4:2:0", 8, False, 2, False, True, True, True, 0, 2)
    found = coding_of(make_clip(spec))
    assert found == Coding(**({name: getattr(usual, name) for name in Coding.__slots__} | expected))


@pytest.mark.parametrize(
    "spec",
    [
        ClipSpec("mpeg4"),
        ClipSpec("libvpx", "webm", options={"b": "1M"}),
        ClipSpec("mjpeg", "mov", pix_fmt="yuvj420p"),
        x265("", container="mpegts"),
    ],
    ids=lambda spec: spec.codec,
)
def test_what_is_not_read_is_unknown(spec: ClipSpec) -> None:
    assert coding_of(make_clip(spec)) == Coding(delay=0)


def test_a_picture_of_another_size_than_the_container_says_is_not_steady() -> None:
    for spec in (ClipSpec(), ClipSpec("libvpx-vp9")):
        declared, packets, _ = stream_of(make_clip(spec))
        other = DeclaredStream(
            *(declared.codec, declared.extradata, 640, 480),
            *(declared.pixel_format, declared.matrix, declared.range, declared.transfer),
        )
        assert other.coding(packets, 0).steady is False


def test_parameter_sets_that_change_on_the_way_are_not_steady() -> None:
    declared, packets, _ = stream_of(make_clip(ClipSpec(container="mpegts")))
    assert declared.coding(packets, 0).steady is True
    other, _, _ = stream_of(make_clip(ClipSpec(container="mpegts", width=640, height=480)))
    changed = [(is_key, b"\0\0\1" + only_parameter_set(other.extradata) + data) for is_key, data in packets]
    assert declared.coding(changed, 0).steady is False


H264 = ClipSpec()
HEVC = x265("open-gop=0")
SPS = {"h264": 0x67, "hevc": 33 << 1}


def with_length(unit: bytes) -> bytes:
    return len(unit).to_bytes(4, "big") + unit


def sps_of(declared: DeclaredStream) -> bytes:
    units = (avcc_units if declared.codec == "h264" else hvcc_units)(declared.extradata)
    [sps] = [unit for unit in units if unit[0] == SPS[declared.codec]]
    return sps


@pytest.fixture(scope="module", params=[H264, HEVC], ids=["h264", "hevc"])
def stream(request: pytest.FixtureRequest) -> tuple[DeclaredStream, list[tuple[bool, bytes]]]:
    declared, packets, _ = stream_of(make_clip(request.param))
    assert declared.coding(packets, 0).steady is True
    return declared, packets


def put_before(packets: list[tuple[bool, bytes]], place: int, data: bytes) -> list[tuple[bool, bytes]]:
    return [(is_key, data + packet if at == place else packet) for at, (is_key, packet) in enumerate(packets)]


@pytest.mark.parametrize("place", [0, 1], ids=["keyframe", "other frame"])
def test_only_the_container_s_own_parameter_sets_are_known(stream, place: int) -> None:
    declared, packets = stream
    own = sps_of(declared)
    foreign = own[:-1]
    assert declared.coding(put_before(packets, place, with_length(own)), 0).steady is True
    assert foreign in declared.extradata, "as bytes, but not as a unit"
    assert declared.coding(put_before(packets, place, with_length(foreign)), 0).steady is False


def test_bytes_after_the_container_s_parameter_sets_are_not_among_them(stream) -> None:
    declared, packets = stream
    foreign = sps_of(declared) + b"\1"
    appended = replace(declared, extradata=declared.extradata + foreign)
    assert appended.coding(put_before(packets, 0, with_length(foreign)), 0).steady is False


def test_two_pictures_in_one_packet_are_not_plain(stream) -> None:
    declared, packets = stream
    (_, first), (_, second), *rest = packets
    assert declared.coding([(True, first + second), *rest], 0).plain_packets is False
    assert declared.coding([(True, first), (False, with_length(b"\x06\x01")), *rest], 0).plain_packets is False


def test_several_slices_are_one_picture() -> None:
    for spec in (ClipSpec(options={"x264-params": "slices=4"}), x265("open-gop=0:slices=2", height=480)):
        coding = coding_of(make_clip(spec))
        assert (coding.plain_packets, coding.clean_keyframes, coding.steady) == (True, True, True)


def test_a_keyframe_that_starts_as_another_frame_is_not_clean() -> None:
    declared, packets, _ = stream_of(make_clip(H264))
    continued = with_length(b"\x65\x40")  # a later slice of an IDR picture
    assert declared.coding([(True, packets[1][1] + continued)], 0).clean_keyframes is False


def unreadable(packet: bytes) -> Iterator[tuple[str, bytes]]:
    yield "cut", packet[:-1]
    yield "rest", packet + b"\0\0"
    yield "many units", with_length(b"\x0c\xff") * (MAX_NAL_UNITS + 1) + packet
    yield "many empty units", bytes(4 * MAX_NAL_UNITS) + packet
    yield "a start code inside", with_length(b"\x0c\xff\0\0\1\x67\x42") + packet


@pytest.mark.parametrize("kind", ["cut", "rest", "many units", "many empty units", "a start code inside"])
def test_a_packet_that_is_not_walked_to_its_end_leaves_all_unknown(stream, kind: str) -> None:
    declared, packets = stream
    odd = dict(unreadable(packets[1][1]))[kind]
    coding = declared.coding([packets[0], (False, odd), *packets[2:]], 0)
    assert (coding.clean_keyframes, coding.plain_packets, coding.steady) == (None, None, None)
    assert coding.chroma == "4:2:0"


def test_a_video_of_more_than_is_walked_through_is_unknown(stream) -> None:
    declared, packets = stream
    for filler, count in ((with_length(b"\x0c\xff") * 200, 200), (with_length(b"\x0c" + b"\xff" * (1 << 20)), 40)):
        coding = declared.coding([(is_key, filler + data) for is_key, data in packets[:1] * count], 0)
        assert (coding.clean_keyframes, coding.plain_packets, coding.steady) == (None, None, None)


def test_hevc_with_several_parameter_sets_is_unknown() -> None:
    declared, packets, _ = stream_of(make_clip(HEVC))
    other = sps_of(declared) + b"\1"
    array = bytes([33]) + (1).to_bytes(2, "big") + len(other).to_bytes(2, "big") + other
    record = declared.extradata[:22] + bytes([declared.extradata[22] + 1]) + declared.extradata[23:] + array
    assert replace(declared, extradata=record).coding(packets, 0) == Coding(delay=0)


def vp9_inter(width: int, height: int) -> bytes:
    """A shown inter frame, error resilient, that tells a size of its own (VP9 bitstream specification, 6.2)."""
    bits = "10" + "00" + "0" + "111" + "00000001" + "0000" * 3 + "000" + f"{width - 1:016b}{height - 1:016b}"
    return int(bits.ljust(160, "0"), 2).to_bytes(20, "big")


def test_a_vp9_frame_of_another_size_is_not_steady() -> None:
    declared, packets, _ = stream_of(make_clip(ClipSpec("libvpx-vp9")))
    assert declared.coding([*packets, (False, vp9_inter(320, 240))], 0).steady is True
    assert declared.coding([*packets, (False, vp9_inter(160, 240))], 0).steady is False


def test_a_vp9_keyframe_is_one_by_its_own_header() -> None:
    declared, packets, _ = stream_of(make_clip(ClipSpec("libvpx-vp9")))
    assert declared.coding([(True, data) for _, data in packets], 0).clean_keyframes is False
    _, other, _ = stream_of(make_clip(ClipSpec("libvpx-vp9", options={"colorspace": "bt709"})))
    assert declared.coding([*packets, (False, other[0][1])], 0).matrix is None


def test_many_tiny_parameter_sets_before_a_large_header_are_given_up(stream) -> None:
    """A search of each in all of the header would take minutes."""
    declared, packets = stream
    tiny = bytes([SPS[declared.codec]]) + b"\1\2\3"
    large = replace(declared, extradata=declared.extradata + bytes(1000) + tiny)
    assert large.coding(put_before(packets, 0, with_length(tiny) * (MAX_NAL_UNITS // 2)), 0).steady is False
    assert large.coding(put_before(packets, 0, with_length(tiny) * 9000), 0).steady is None
    assert replace(large, extradata=large.extradata + bytes(1 << 20)).coding(packets, 0) == Coding(delay=0)
