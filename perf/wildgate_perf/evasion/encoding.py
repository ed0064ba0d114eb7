"""Drafts as media files: fixed keyframes, no keyframe at a cut, one thread, so that equal drafts are equal files."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from typing import Any, TypeAlias, cast

import av
from av import Packet
from av.container import Flags, OutputContainer
from av.video.stream import VideoStream

from wildgate_perf.evasion.drafts import Draft
from wildgate_perf.evasion.pictures import enlarged

__all__ = ["ENCODERS", "PacketChange", "container_of", "encoded"]

ENCODERS = ("libx264", "libx265", "libvpx", "libvpx-vp9", "mpeg4")

_QUALITY: dict[str, dict[str, Any]] = {
    "libx264": {"preset": "superfast", "crf": "24"},
    "libx265": {"preset": "ultrafast", "crf": "26"},
    "libvpx": {"deadline": "realtime", "cpu-used": "-8", "b": 400_000, "auto-alt-ref": "0"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8", "b": 300_000, "lag-in-frames": "0"},
    "mpeg4": {"b": 600_000, "sc_threshold": "1000000000"},
}
_FIXED = "keyint={0}:min-keyint={0}:scenecut=0"
_PARAMETERS = {
    "libx264": ("x264-params", f"{_FIXED}:threads=1"),
    "libx265": ("x265-params", f"{_FIXED}:log-level=none:pools=none:frame-threads=1"),
}

PacketChange: TypeAlias = "Callable[[Packet[VideoStream]], Packet[VideoStream]]"


def container_of(encoder: str) -> str:
    """The container that an encoder's videos usually come in, by FFmpeg's name."""
    return "webm" if encoder.startswith("libvpx") else "mp4"


def encoded(
    *drafts: Draft,
    frames: Sequence[int] | None = None,
    container: str | None = None,
    parameters: str = "",
    change: PacketChange | None = None,
) -> bytes:
    """A media file with a track for each draft.

    `frames` are those encoded, by default all; `parameters` go to x264 or x265 after the fixed ones; each packet is
    muxed as `change` returns it.
    """
    output = io.BytesIO()
    muxer = container or container_of(drafts[0].encoder)
    with ExitStack() as stack:
        file = stack.enter_context(av.open(output, "w", format=muxer))
        file.flags |= cast(int, Flags.bitexact.value)  # no random numbers, no version
        streams = [_stream(file, draft, parameters) for draft in drafts]
        for place, number in enumerate(frames or range(drafts[0].form.frames)):
            for draft, stream in zip(drafts, streams, strict=True):
                frame = enlarged(draft.picture(number), draft.form.size, number)
                frame.pts = place
                _mux(file, stream.encode(frame), change)
        for stream in streams:
            _mux(file, stream.encode(None), change)
    return output.getvalue()


def _mux(file: OutputContainer, packets: Iterable[Packet[VideoStream]], change: PacketChange | None) -> None:
    for packet in packets:
        file.mux(change(packet) if change else packet)


def _stream(file: OutputContainer, draft: Draft, parameters: str) -> VideoStream:
    every = draft.form.keyframe_interval
    options: dict[str, str] = {
        name: str(round(value * draft.form.times_bytes)) if name == "b" else value
        for name, value in _QUALITY[draft.encoder].items()
    }
    if draft.encoder in _PARAMETERS:
        name, fixed = _PARAMETERS[draft.encoder]
        options[name] = fixed.format(every) + (f":{parameters}" if parameters else "")
    else:
        options["g"] = options["keyint_min"] = str(every)
    stream = cast(VideoStream, file.add_stream(draft.encoder, rate=draft.form.fps, options=options))
    stream.width, stream.height = draft.form.size
    stream.pix_fmt = "yuv420p"
    stream.codec_context.thread_count = 1
    return stream
