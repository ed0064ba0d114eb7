"""Videos as an opened container declares them, with their packets and what FFmpeg decodes of them."""

from __future__ import annotations

import io

import av

from wildgate_server.media.coded_stream import DeclaredStream


def stream_of(content: bytes) -> tuple[DeclaredStream, list[tuple[bool, bytes]], av.VideoFrame]:
    """The stream as an opened container declares it, its packets, and its first frame decoded."""
    with av.open(io.BytesIO(content), options={"skip_frame": "all"}) as container:
        declared = DeclaredStream.of(container.streams.video[0].codec_context)
        packets = [(packet.is_keyframe, bytes(packet)) for packet in container.demux(video=0) if packet.size]
    with av.open(io.BytesIO(content)) as container:
        return declared, packets, next(container.decode(video=0))
