"""Drafts made into files that no encoder or muxer writes on request. Boxes: ISO/IEC 14496-12, 8."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from av import Packet
from av.video.stream import VideoStream

from wildgate_perf.evasion.drafts import Draft
from wildgate_perf.evasion.encoding import PacketChange, container_of, encoded

__all__ = [
    "beside_harmless",
    "cheaply_coded",
    "joined",
    "keyframes_only",
    "refreshed",
    "shown_first",
    "with_costly_keyframes",
    "with_costly_rest",
    "without_clock",
]

_FILLER = {"libx264": b"\0\0\0\1\x0c", "libx265": b"\0\0\0\1\x4c\x01"}  # NAL units 12 of H.264, 38 of HEVC
_COSTLY_BYTES = 9000  # more than a keyframe takes in the usual size


def cheaply_coded(draft: Draft) -> bytes:
    """The contraband, and what leads to it, of a quantiser that leaves few bits."""
    coded = [number for number, opacity in enumerate(draft.opacity) if opacity] or [0]
    return encoded(draft, parameters=f"zones={coded[0]},{coded[-1]},q=36")


def with_costly_keyframes(draft: Draft) -> bytes:
    """Keyframes padded, so that next to them every other frame looks cheap."""
    return encoded(draft, change=_padded(draft, keyframes=True))


def with_costly_rest(draft: Draft) -> bytes:
    """All other frames padded, so that each looks like a new picture."""
    return encoded(draft, change=_padded(draft, keyframes=False))


def _padded(draft: Draft, *, keyframes: bool) -> PacketChange:
    filler = _FILLER[draft.encoder] + b"\xff" * round(_COSTLY_BYTES * draft.form.times_bytes) + b"\x80"

    def change(packet: Packet[VideoStream]) -> Packet[VideoStream]:
        if packet.is_keyframe != keyframes:
            return packet
        padded: Packet[Any] = Packet(bytes(packet) + filler)
        padded.pts, padded.dts, padded.time_base = packet.pts, packet.dts, packet.time_base
        padded.duration, padded.stream, padded.is_keyframe = packet.duration, packet.stream, packet.is_keyframe
        return padded

    return change


def refreshed(draft: Draft) -> bytes:
    """One keyframe at the start; from then on a column of intra blocks travels, and recovery points are marked."""
    return encoded(draft, parameters="intra-refresh=1:bframes=0")


def joined(draft: Draft) -> bytes:
    """Two files one after the other, each with a clock that starts at 0."""
    container = "webm" if container_of(draft.encoder) == "webm" else "mpegts"
    half = draft.form.frames // 2
    return b"".join(
        encoded(draft, frames=part, container=container) for part in (range(half), range(half, draft.form.frames))
    )


def beside_harmless(draft: Draft) -> bytes:
    """A second track, after one that is harmless all through."""
    return encoded(replace(draft, opacity=(0.0,) * draft.form.frames), draft)


def keyframes_only(draft: Draft) -> bytes:
    """An MP4 that calls every frame a keyframe: one without a table of those that are (8.6.2)."""
    return encoded(draft, parameters="bframes=0" if draft.encoder == "libx264" else "").replace(b"stss", b"free")


def without_clock(draft: Draft) -> bytes:
    """An MP4 whose frames take no time at all (8.6.1.2)."""
    mp4 = bytearray(encoded(draft, parameters="bframes=0" if draft.encoder == "libx264" else ""))
    at = mp4.index(b"stts") + 8
    (entries,) = struct.unpack_from(">I", mp4, at)
    for entry in range(entries):
        struct.pack_into(">I", mp4, at + 8 + 8 * entry, 0)
    return bytes(mp4)


def shown_first(draft: Draft) -> bytes:
    """An MP4 that stores the contraband where the draft has it and shows it first, by its edit list (8.6.6)."""
    mp4, form = encoded(draft, parameters="bframes=0"), draft.form
    shown = draft.shown or [form.frames // 2]
    parts = ((shown[0], len(shown)), (0, shown[0]), (shown[-1] + 1, form.frames - shown[-1] - 1))
    return b"".join(
        _box(kind, _with_edits(content, form.fps, parts) if kind == b"moov" else content)
        for kind, content in _boxes(mp4)
    )


def _with_edits(moov: bytes, fps: int, parts: tuple[tuple[int, int], ...]) -> bytes:
    (movie_scale,) = struct.unpack_from(">I", moov, moov.index(b"mvhd") + 16)
    (media_scale,) = struct.unpack_from(">I", moov, moov.index(b"mdhd") + 16)
    entries = (
        struct.pack(">IiI", round(count * movie_scale / fps), round(first * media_scale / fps), 1 << 16)
        for first, count in parts
    )
    edits = _box(b"edts", _box(b"elst", bytes(4), struct.pack(">I", len(parts)), *entries))
    return b"".join(
        _box(kind, *(_box(*inner) for inner in _boxes(content) if inner[0] != b"edts"), edits)
        if kind == b"trak"
        else _box(kind, content)
        for kind, content in _boxes(moov)
    )


def _boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at < len(content):
        length, kind = struct.unpack_from(">I4s", content, at)
        yield kind, content[at + 8 : at + length]
        at += length


def _box(kind: bytes, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return struct.pack(">I4s", 8 + len(content), kind) + content
