"""WebM files put together by hand, with cues that lead wherever one likes. Elements: RFC 9559."""

from __future__ import annotations

import io
from collections.abc import Sequence

import av

from wildgate_server.media.ebml import with_size


def number(value: int) -> bytes:
    return value.to_bytes(8, "big")


def packets_of(webm: bytes) -> list[bytes]:
    with av.open(io.BytesIO(webm), "r") as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


def block(frame: bytes) -> bytes:
    """A simple block with a keyframe of track 1, at its cluster's time."""
    return with_size(b"\xa3", b"\x81\0\0\x80" + frame)


def cluster(time_ms: int, *blocks: bytes) -> bytes:
    return with_size(b"\x1f\x43\xb6\x75", with_size(b"\xe7", number(time_ms)) + b"".join(blocks))


def void(content: bytes) -> bytes:
    return with_size(b"\xec", content)


def webm_of(
    parts: Sequence[bytes],
    cues: Sequence[tuple[int, int, int | None]],
    side: int,
    shown: tuple[int, int] | None = None,
    key: bytes = b"",
) -> bytes:
    """A VP8 file of these parts, with cues: a time in ms, a place among the parts, and one in the cluster's data.

    `shown` is the size at which its square pictures are to be shown; `key` names what its frames are encrypted with.
    """
    cipher = with_size(b"\x47\xe1", b"\5") + with_size(b"\x47\xe2", key)
    encoding = with_size(b"\x50\x33", b"\1") + with_size(b"\x50\x35", cipher)
    encodings = with_size(b"\x6d\x80", with_size(b"\x62\x40", encoding)) if key else b""
    size = with_size(b"\xb0", number(side)) + with_size(b"\xba", number(side))
    size += b"".join(
        with_size(b"\x54" + kind, number(s)) for kind, s in zip((b"\xb0", b"\xba"), shown or (), strict=False)
    )
    track = b"".join(
        (
            with_size(b"\xd7", b"\1"),
            with_size(b"\x73\xc5", b"\1"),
            with_size(b"\x83", b"\1"),
            with_size(b"\x86", b"V_VP8"),
            with_size(b"\xe0", size),
            encodings,
        )
    )
    head = with_size(b"\x15\x49\xa9\x66", with_size(b"\x2a\xd7\xb1", number(1_000_000)))
    head += with_size(b"\x16\x54\xae\x6b", with_size(b"\xae", track))
    base = len(head) + len(_cues(cues, 0))
    segment = head + _cues(cues, base) + b"".join(parts)
    return with_size(b"\x1a\x45\xdf\xa3", with_size(b"\x42\x82", b"webm")) + with_size(b"\x18\x53\x80\x67", segment)


def _cues(cues: Sequence[tuple[int, int, int | None]], base: int) -> bytes:
    points = []
    for time_ms, place, relative in cues:
        positions = with_size(b"\xf7", b"\1") + with_size(b"\xf1", number(base + place))
        positions += b"" if relative is None else with_size(b"\xf0", number(relative))
        points.append(with_size(b"\xbb", with_size(b"\xb3", number(time_ms)) + with_size(b"\xb7", positions)))
    return with_size(b"\x1c\x53\xbb\x6b", b"".join(points))
