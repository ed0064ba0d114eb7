"""Files of several video tracks, made of files of one."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

import av
from av.stream import Disposition


def together(
    contents: Sequence[bytes], container: str = "mp4", dispositions: Mapping[int, Disposition] | None = None
) -> bytes:
    """The video tracks of all contents in one file, their packets by time; `dispositions` are by track."""
    buffer = io.BytesIO()
    with ExitStack() as opened:
        sources = [opened.enter_context(av.open(io.BytesIO(content))) for content in contents]
        target = opened.enter_context(av.open(buffer, "w", format=container))
        packets = []
        for number, source in enumerate(sources):
            stream = source.streams.video[0]
            track = target.add_stream_from_template(stream, opaque=True)
            if dispositions and number in dispositions:
                track.disposition = dispositions[number]
            found = [packet for packet in source.demux(stream) if packet.size]
            packets += [
                (packet.dts * packet.time_base, number, place, track, packet) for place, packet in enumerate(found)
            ]
        for _, _, _, track, packet in sorted(packets, key=lambda entry: entry[:3]):
            packet.stream = track
            target.mux(packet)
    return buffer.getvalue()
