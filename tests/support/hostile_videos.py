"""What is not a video, or pretends to be one."""

from __future__ import annotations

import io
from fractions import Fraction

import av
import numpy as np
from clips import ClipSpec, make_clip

_DELIMITER = b"\0\0\0\2\x09\x10"  # an H.264 access unit delimiter: a packet without a picture


def random_bytes(seed: int) -> bytes:
    """No container at all."""
    return np.random.default_rng(seed).bytes(20_000)


def truncated_mp4(seed: int) -> bytes:
    """An MP4 whose index, at its end, is missing."""
    content = make_clip(ClipSpec(seconds=1, first_frame=seed))
    return content[: content.index(b"moov") - 4]


def audio_only(seed: int) -> bytes:
    """A sound file in a video's container."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        samples = np.random.default_rng(seed).uniform(-1, 1, (1, 1024)).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(samples, "fltp", "mono")
        frame.sample_rate = 8000
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    return buffer.getvalue()


def garbage_packets(seed: int) -> bytes:
    """An MP4 with a perfect index to packets of noise: only a decoder notices."""
    content = bytearray(make_clip(ClipSpec(seconds=3, first_frame=seed)))
    data = content.index(b"mdat") + 4
    end = content.index(b"moov") - 4
    content[data:end] = np.random.default_rng(seed).bytes(end - data)
    return bytes(content)


def endless_work(packets: int = 140_000) -> bytes:
    """A small Matroska file of one picture and as many tiny packets after it as are taken: a second of work."""
    buffer = io.BytesIO()
    with av.open(io.BytesIO(make_clip(ClipSpec(width=64, height=64, seconds=0.1)))) as source:
        stream = source.streams.video[0]
        picture = bytes(next(source.demux(stream)))
        with av.open(buffer, "w", format="matroska") as target:
            track = target.add_stream_from_template(stream, opaque=True)
            for number in range(packets):
                packet = av.Packet(_DELIMITER if number else picture)
                packet.stream, packet.time_base = track, Fraction(1, 1000)
                packet.pts = packet.dts = number
                packet.is_keyframe = number == 0
                target.mux(packet)
    return buffer.getvalue()
