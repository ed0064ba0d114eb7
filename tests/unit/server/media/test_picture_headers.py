"""What headers tell, held against what FFmpeg's decoders find in the very same streams."""

from __future__ import annotations

import random

import pytest
from clips import ClipSpec, make_clip
from coded_packets import stream_of

from wildgate_server.media.nal_units import MAX_NAL_UNITS, avcc_units, hvcc_units, nal_units, only_parameter_set
from wildgate_server.media.picture_headers import ParameterSet, Vp9Header, vp9_step

SIZES = [(320, 240), (318, 180), (64, 64), (1280, 720), (162, 100)]


@pytest.mark.parametrize(("container", "width", "height"), [*(("mp4", *size) for size in SIZES), ("mpegts", 320, 240)])
@pytest.mark.parametrize(
    ("pix_fmt", "parameters"),
    [
        ("yuv420p", ""),
        ("yuv420p", "colormatrix=bt709:colorprim=bt709:transfer=bt709:sar=4/3:overscan=show:videoformat=ntsc"),
        ("yuv420p", "colormatrix=smpte170m:fullrange=on"),
        ("yuv420p", "fullrange=on"),
        ("yuv420p", "cqm=jvt:bframes=2:aud=1:sar=16/11"),
        ("yuv420p", "interlaced=1"),
        ("yuv420p10le", "colormatrix=bt2020nc:transfer=smpte2084"),
        ("yuv422p", ""),
        ("yuv444p", "cqm=jvt"),
        ("gray", ""),
    ],
)
def test_an_h264_parameter_set_is_read_as_ffmpeg_reads_it(
    container: str, width: int, height: int, pix_fmt: str, parameters: str
) -> None:
    spec = ClipSpec(
        container=container,
        width=width,
        height=height,
        seconds=0.2 if container == "mp4" else 2.0,  # A transport stream has to have some length to be known as one.
        pix_fmt=pix_fmt,
        options={"x264-params": f"log=-1:{parameters}"},
    )
    declared, _, frame = stream_of(make_clip(spec))
    found = ParameterSet.of(only_parameter_set(declared.extradata))
    assert (found.width, found.height) == (frame.width, frame.height) == (width, height)
    chroma = {"yuv420p": "4:2:0", "yuvj420p": "4:2:0", "yuv420p10le": "4:2:0", "yuv422p": "4:2:2", "yuv444p": "4:4:4"}
    assert found.chroma == {**chroma, "gray": "4:0:0"}[pix_fmt]
    assert found.bit_depth == (10 if "10" in pix_fmt else 8)
    assert found.interlaced == ("interlaced" in parameters)
    assert (2 if found.matrix is None else found.matrix) == frame.colorspace
    assert (2 if found.transfer is None else found.transfer) == frame.color_trc
    assert bool(found.full_range) == (frame.color_range == 2)


def test_a_parameter_set_cut_anywhere_is_unknown_or_whole() -> None:
    declared, _, _ = stream_of(make_clip(ClipSpec(seconds=0.2, options={"x264-params": "log=-1:colormatrix=bt709"})))
    unit = only_parameter_set(declared.extradata)
    whole = ParameterSet.of(unit)
    assert whole.matrix == 1
    assert all(ParameterSet.of(unit[:length]) is None for length in range(12))
    noise = random.Random(3)
    for _ in range(2000):
        broken = bytearray(unit)
        broken[noise.randrange(len(broken))] ^= 1 << noise.randrange(8)
        ParameterSet.of(bytes(broken))  # must not raise
    for length in range(300):
        ParameterSet.of(bytes(noise.randrange(256) for _ in range(length)))


@pytest.mark.parametrize("length_size", [None, 1, 2, 4])
def test_nal_units(length_size: int | None) -> None:
    units = [b"\x67abc", b"\x68d", b"\x65" + b"e" * 100]
    if length_size is None:
        data = b"\0\0\0\1" + units[0] + b"\0\0\1" + units[1] + b"\0\0\0\1" + units[2]
    else:
        data = b"".join(len(unit).to_bytes(length_size, "big") + unit for unit in units)
    assert nal_units(data, length_size) == units
    assert nal_units(data[:-1], length_size) == (None if length_size else [*units[:2], units[2][:-1]])
    assert nal_units(b"", length_size) == []


@pytest.mark.parametrize("length_size", [None, 1, 2, 4])
def test_nal_units_past_the_most_there_may_be(length_size: int | None) -> None:
    prefix = b"\0\0\1" if length_size is None else (2).to_bytes(length_size, "big")
    assert nal_units((prefix + b"\x0c\xff") * MAX_NAL_UNITS, length_size) == [b"\x0c\xff"] * MAX_NAL_UNITS
    assert nal_units((prefix + b"\x0c\xff") * (MAX_NAL_UNITS + 1), length_size) is None


def test_records_cut_anywhere_are_unknown_or_whole() -> None:
    hevc = ClipSpec("libx265", seconds=0.2, options={"x265-params": "log-level=none"})
    for spec, read, kinds in ((ClipSpec(seconds=0.2), avcc_units, [0x67, 0x68]), (hevc, hvcc_units, [64, 66, 68])):
        declared, _, _ = stream_of(make_clip(spec))
        whole = read(declared.extradata)
        assert [unit[0] for unit in whole][: len(kinds)] == kinds
        cut = [read(declared.extradata[:length]) for length in range(len(declared.extradata))]
        assert cut[:23] == [None] * 23
        assert all(units in (None, whole) for units in cut)
        noise = random.Random(5)
        for _ in range(500):
            read(noise.randbytes(noise.randrange(300)))  # must not raise


@pytest.mark.parametrize(
    ("options", "matrix", "full_range"),
    [
        ({}, 2, False),
        ({"colorspace": "bt709"}, 1, False),
        ({"colorspace": "smpte170m", "color_range": "pc"}, 6, True),
        ({"colorspace": "bt2020nc"}, 9, False),
    ],
)
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_a_vp9_header_is_read_as_ffmpeg_reads_it(
    options: dict[str, str], matrix: int, full_range: bool, width: int, height: int
) -> None:
    spec = ClipSpec("libvpx-vp9", "webm", width, height, seconds=0.3, keyframe_interval=9, options=options)
    _, packets, frame = stream_of(make_clip(spec))
    header = Vp9Header.of(packets[0][1])
    assert header == Vp9Header(True, width, height, matrix, full_range)
    assert (frame.colorspace, frame.color_range == 2) == (matrix, full_range)
    assert Vp9Header.of(packets[1][1]) == Vp9Header(True)


@pytest.mark.parametrize("quantizer", [10, 40])
def test_how_coarsely_vp9_is_quantised_is_what_the_encoder_was_told(quantizer: int) -> None:
    options = {"qmin": str(quantizer), "qmax": str(quantizer), "deadline": "realtime", "lag-in-frames": "0"}
    _, packets, _ = stream_of(make_clip(ClipSpec("libvpx-vp9", "webm", seconds=1, options=options)))
    # libvpx: quantizer_to_qindex is four times the quantizer, up to 51 of it.
    assert [vp9_step(packet) for _, packet in packets] == pytest.approx([2 ** (4 * quantizer / 28.9)] * len(packets))
    assert vp9_step(bytes([0b10_00_1_000])) is None
    assert vp9_step(packets[1][1][:4]) is None


def superframe(*frames: bytes) -> bytes:
    """VP9 bitstream specification, annex B, with sizes of two bytes."""
    marker = bytes([0xC0 | 1 << 3 | len(frames) - 1])
    return b"".join(frames) + marker + b"".join(len(frame).to_bytes(2, "little") for frame in frames) + marker


def test_vp9_packets_that_are_not_one_picture_shown() -> None:
    _, packets, _ = stream_of(make_clip(ClipSpec("libvpx-vp9", "webm", seconds=0.5)))
    key, inter = packets[0][1], packets[1][1]
    shown_again = bytes([0b10_00_1_000])
    hidden = bytes([inter[0] & ~0b10]) + inter[1:]
    assert Vp9Header.of(key).plain
    assert Vp9Header.of(inter).plain
    for odd in (shown_again, hidden, superframe(hidden, inter), superframe(key, inter)):
        assert not Vp9Header.of(odd).plain
    for junk in (b"", b"\0", b"\xff" * 40, key[:4]):
        assert Vp9Header.of(junk) is None or not Vp9Header.of(junk).plain
