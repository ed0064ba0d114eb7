"""Small files that cost their reader or decoder much."""

from __future__ import annotations

import io
import struct
from fractions import Fraction
from typing import cast

import av
import numpy as np
from av.video.stream import VideoStream

__all__ = ["garbage_in_windows", "large_pictures", "promised_samples", "tiny_packets"]

_SIDE_OF_LARGE = 3072
_PROMISED = 60_000_000
_MATRIX = struct.pack(">9I", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)


def _box(kind: bytes, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return struct.pack(">I4s", 8 + len(content), kind) + content


def _track(kind: bytes, entry: bytes, tables: tuple[bytes, ...], seconds: int, side: int = 0) -> bytes:
    """A track of a MOV file, its time counted in tenths of a second."""
    return _box(
        b"trak",
        _box(
            b"tkhd", struct.pack(">I8xI4xI16x", 3, 1, seconds * 10), _MATRIX, struct.pack(">II", side << 16, side << 16)
        ),
        _box(
            b"mdia",
            _box(b"mdhd", struct.pack(">12xIII", 10, seconds * 10, 0x55C40000)),
            _box(b"hdlr", bytes(8), kind, bytes(13)),
            _box(b"minf", _box(b"stbl", _box(b"stsd", struct.pack(">4xI", 1), entry), *tables)),
        ),
    )


def _tables(samples: int, sizes: list[int], offsets: list[int]) -> tuple[bytes, ...]:
    """Samples with sizes and places of their own, or all of one byte, one after the other."""
    return (
        _box(b"stts", struct.pack(">4x3I", 1, samples, 10)),
        _box(b"stsc", struct.pack(">4x4I", 1, 1, 1 if len(offsets) > 1 else samples, 1)),
        _box(b"stsz", struct.pack(">4xII", not sizes, samples), struct.pack(f">{len(sizes)}I", *sizes)),
        _box(b"stco", struct.pack(f">4xI{len(offsets)}I", len(offsets), *offsets)),
    )


def large_pictures(seconds: int = 128) -> bytes:
    """Row 1: one JPEG 2000 picture of 9.4 megapixels, which is shown again every second from the same bytes.

    Each time it ends a byte later, so that no clip is like another.
    """
    encoder = av.VideoCodecContext.create("jpeg2000", "w")
    encoder.width = encoder.height = _SIDE_OF_LARGE
    encoder.pix_fmt, encoder.time_base = "rgb24", Fraction(1, 10)
    frame = av.VideoFrame.from_ndarray(np.full((_SIDE_OF_LARGE, _SIDE_OF_LARGE, 3), 128, np.uint8), "rgb24")
    picture = b"".join(map(bytes, [*encoder.encode(frame), *encoder.encode(None)]))
    size = struct.pack(">HH", _SIDE_OF_LARGE, _SIDE_OF_LARGE)
    entry = _box(b"mjp2", struct.pack(">6xH16x", 1), size, struct.pack(">II4xH32xHh", 72 << 16, 72 << 16, 1, 24, -1))
    head = _box(b"ftyp", b"qt  ", bytes(4), b"qt  ")
    moov = b""
    for _ in range(2):  # the second time its own length is known
        offsets = [len(head) + len(moov) + 8] * seconds
        sizes = [len(picture) + number for number in range(seconds)]
        moov = _moov(_track(b"vide", entry, _tables(seconds, sizes, offsets), seconds, _SIDE_OF_LARGE), seconds)
    return head + moov + _box(b"mdat", picture, bytes(seconds))


def promised_samples() -> bytes:
    """Row 7: an MP4 file and a track of sound beside its own, which is said to have 60 million samples."""
    video = _short_video("mp4", "mpeg4")
    entry = _box(b"samr", struct.pack(">6xH8xHH4xI", 1, 1, 16, 8000 << 16))
    more = _track(b"soun", entry, _tables(_PROMISED, [], [8]), 60)
    at = video.index(b"moov") - 4
    length = int.from_bytes(video[at : at + 4], "big")
    head, rest = video[:at], video[at + length :]  # the frames come first: no place moves
    return head + struct.pack(">I", length + len(more)) + video[at + 4 : at + length] + more + rest


def tiny_packets(count: int = 3_000_000) -> bytes:
    """Row 7: an FLV file whose frames are followed by millions of packets of sound, of two bytes each."""
    tag = b"\x08\0\0\x02\0\0\0\0\0\0\0\x2f\0" + struct.pack(">I", 13)
    return _short_video("flv", "flv") + tag * count


def _short_video(container: str, codec: str) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as target:
        stream = cast(VideoStream, target.add_stream(codec, rate=10, width=160, height=120, pix_fmt="yuv420p"))
        for number in range(20):
            frame = av.VideoFrame.from_ndarray(np.full((180, 160), number * 10, np.uint8), "yuv420p")
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    return buffer.getvalue()


def garbage_in_windows(frames: int = 64, garbage: bool = True) -> bytes:
    """Row 8: VP9 in which every eighth keyframe, or each frame, is garbage."""
    buffer = io.BytesIO()
    rng = np.random.default_rng(8)
    with av.open(buffer, "w", format="webm") as target:
        stream = target.add_stream("libvpx-vp9", rate=1, width=1280, height=720, pix_fmt="yuv420p")
        stream.codec_context.options = {"deadline": "realtime", "cpu-used": "8", "g": "1"}
        packets = []
        for number in range(frames):
            picture = np.full((720, 1280, 3), number * 3, np.uint8)
            picture[:64, :64] = rng.integers(0, 255, (64, 64, 3), np.uint8)
            packets += stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24"))
        for number, packet in enumerate([*packets, *stream.encode(None)]):
            content = rng.bytes(8) if garbage or number % 8 == 7 else bytes(packet)
            changed = av.Packet(content)
            changed.stream, changed.time_base = stream, packet.time_base
            changed.pts, changed.dts, changed.is_keyframe = packet.pts, packet.dts, packet.is_keyframe
            target.mux(changed)
    return buffer.getvalue()


def _moov(track: bytes, seconds: int) -> bytes:
    head = struct.pack(">12xIIIH10x", 10, seconds * 10, 1 << 16, 256)
    return _box(b"moov", _box(b"mvhd", head, _MATRIX, bytes(24), b"\0\0\0\2"), track)
