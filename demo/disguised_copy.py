"""A blocked clip as it comes back: disguised."""

from __future__ import annotations

import io
from pathlib import Path

import av

__all__ = ["disguised"]


def disguised(clip: Path, *, mirrored: bool) -> bytes:
    """The clip at two thirds of its size and encoded anew, as an MP4 file; mirrored, too, if asked for."""
    made = io.BytesIO()
    with av.open(str(clip)) as original, av.open(made, "w", format="mp4") as copy:
        shown = original.streams.video[0]
        stream = copy.add_stream("libx264", rate=shown.average_rate)
        stream.width, stream.height = (side * 2 // 3 // 2 * 2 for side in (shown.width, shown.height))
        for number, frame in enumerate(original.decode(shown)):
            picture = frame.to_ndarray(format="rgb24", width=stream.width, height=stream.height)
            shown_now = av.VideoFrame.from_ndarray(picture[:, ::-1].copy() if mirrored else picture, "rgb24")
            shown_now.pts = number
            copy.mux(stream.encode(shown_now))
        copy.mux(stream.encode(None))
    return made.getvalue()
