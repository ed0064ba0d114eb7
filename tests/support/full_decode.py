"""What FFmpeg shows when it decodes everything: the truth that clips are held against."""

from __future__ import annotations

import io
from functools import cache
from types import ModuleType

import av
import numpy as np
from triton_seam import load_model

from wildgate_server.media.sampled_video import ClipWindow


def frames_by_time(video: bytes, number: int = 0, pixels: str | None = None) -> dict[float, np.ndarray]:
    """All frames of a video stream by presentation time (seconds, to the microsecond), as `pixels` or else
    in the stored pixel format.
    """
    with av.open(io.BytesIO(video)) as container:
        stream = container.streams.video[number]
        return {
            round(frame.pts * float(stream.time_base), 6): frame.to_ndarray(format=pixels)
            for frame in container.decode(stream)
        }


def clip_frames(window: ClipWindow, pixels: str | None = None) -> list[np.ndarray]:
    """The frames of a window's clip at `frame_index`, repeats included."""
    decoded = {rank: _clip_frame(window.clip, rank, pixels) for rank in set(window.frame_index)}
    return [decoded[rank] for rank in window.frame_index]


@cache
def _decoding() -> ModuleType:
    return load_model("clip_decoder", "decoding.py")


def _clip_frame(clip: bytes, rank: int, pixels: str | None) -> np.ndarray:
    """The frame of this rank in presentation order, by a decoder that has seen nothing before its run.

    Zeros follow the clip, as they do where Triton fills up the shorter clips of a request.
    """
    with av.open(io.BytesIO(clip + bytes(5000)), options={"ignore_editlist": "1"}) as container:
        stream = container.streams.video[0]
        codec = _decoding()._decoder(container, stream)
        packets = _decoding()._read_packets(container, stream)
        pts = sorted(packet.pts for packet in packets)[rank]
        wanted = next(at for at, packet in enumerate(packets) if packet.pts == pts)
        start = max(at for at in range(wanted + 1) if packets[at].is_keyframe and packets[at].pts <= pts)
        for packet in [*packets[start : wanted + 1], None]:
            for frame in codec.decode(packet):
                if frame.pts == pts:
                    return frame.to_ndarray(format=pixels)
    raise AssertionError(f"the clip shows no frame {rank}")
