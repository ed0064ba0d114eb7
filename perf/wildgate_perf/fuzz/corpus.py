"""Small videos, one or more of each container and codec that there is an encoder for, and requests, to be changed."""

from __future__ import annotations

import io
from typing import cast

import av
import numpy as np
from av.video.stream import VideoStream

from wildgate_proto.v1 import scoring_pb2 as pb

__all__ = ["requests", "videos"]

_FRAMES = 6
_MADE = (  # encoder, container, pixel format, size
    *(("libx264", container, "yuv420p", (64, 48)) for container in ("mp4", "mov", "matroska", "mpegts", "flv", "avi")),
    *(("libx264", container, "yuv420p", (64, 48)) for container in ("h264", "asf", "nut", "3gp")),
    *(("libx265", container, "yuv420p", (64, 64)) for container in ("mp4", "matroska", "mpegts", "hevc")),
    *(("libvpx-vp9", container, "yuv420p", (64, 48)) for container in ("webm", "mp4", "ivf")),
    *(("libvpx", container, "yuv420p", (64, 48)) for container in ("webm", "ivf", "ogg")),
    *(("libsvtav1", container, "yuv420p", (64, 64)) for container in ("mp4", "webm", "ivf")),
    *(("mpeg4", container, "yuv420p", (64, 48)) for container in ("mp4", "avi", "m4v", "matroska")),
    *(("mpeg2video", container, "yuv420p", (64, 48)) for container in ("mpeg", "mpegts", "mxf", "vob")),
    ("mpeg1video", "mpeg", "yuv420p", (64, 48)),
    ("mjpeg", "avi", "yuvj420p", (64, 48)),
    ("mjpeg", "mov", "yuvj420p", (64, 48)),
    ("h263", "3gp", "yuv420p", (128, 96)),
    ("flv", "flv", "yuv420p", (64, 48)),
    ("flashsv", "flv", "bgr24", (64, 48)),
    ("wmv2", "asf", "yuv420p", (64, 48)),
    ("msmpeg4", "avi", "yuv420p", (64, 48)),
    ("libtheora", "ogg", "yuv420p", (64, 48)),
    ("prores", "mov", "yuv422p10le", (64, 48)),
    ("jpeg2000", "mxf", "rgb24", (64, 48)),
    ("ffv1", "matroska", "yuv420p", (64, 48)),
    ("huffyuv", "avi", "rgb24", (64, 48)),
    ("zmbv", "avi", "bgr0", (64, 48)),
    ("qtrle", "mov", "rgb24", (64, 48)),
    ("cinepak", "avi", "rgb24", (64, 48)),
    ("svq1", "mov", "yuv410p", (64, 48)),
    ("snow", "avi", "yuv420p", (64, 48)),
    ("rv10", "rm", "yuv420p", (176, 144)),
    ("gif", "gif", "rgb8", (64, 48)),
    ("apng", "apng", "rgb24", (64, 48)),
    ("rawvideo", "nut", "rgb24", (64, 48)),
    ("wrapped_avframe", "yuv4mpegpipe", "yuv420p", (64, 48)),
)
_OPTIONS = {
    "libx265": {"x265-params": "log-level=none:pools=none:frame-threads=1"},
    "libsvtav1": {"preset": "12", "svtav1-params": "lp=1"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"},
    "snow": {"strict": "experimental"},
}


def videos() -> dict[str, bytes]:
    """The videos, by encoder and container; also MP4 in fragments, with B-frames and an index at its end."""
    made = {}
    for codec, container, pix_fmt, size in _MADE:
        if codec in av.codecs_available and container in av.formats_available:
            made[f"{codec}-{container}"] = _video(codec, container, pix_fmt, size)
    fragments = {"movflags": "frag_keyframe+empty_moov"}
    return made | {"fragmented-mp4": _video("libx264", "mp4", "yuv420p", (64, 48), fragments)}


def _video(
    codec: str, container: str, pix_fmt: str, size: tuple[int, int], options: dict[str, str] | None = None
) -> bytes:
    width, height = size
    buffer = io.BytesIO()
    rate = 25 if codec.startswith(("mpeg1", "mpeg2")) or container == "mxf" else 10
    with av.open(buffer, "w", format=container, options=options or {}) as target:
        stream = cast(VideoStream, target.add_stream(codec, rate=rate, width=width, height=height, pix_fmt=pix_fmt))
        stream.codec_context.options = _OPTIONS.get(codec, {})
        stream.codec_context.gop_size, stream.codec_context.thread_count = 3, 1
        for number in range(_FRAMES):
            picture = np.full((height, width, 3), 30 * number, np.uint8)
            picture[: height // 2, : width // 2] = (200, 40, 90)
            target.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        target.mux(stream.encode(None))
    return buffer.getvalue()


def requests() -> dict[str, bytes]:
    """Encoded `ScoreRequest`s and, as their names say, items of streams."""
    asked = {
        "content": pb.ScoreRequest(video_id="one", content=b"video" * 9, max_evidence_frames=3),
        "uri": pb.ScoreRequest(
            video_id="two", uri="https://media.example/video.mp4?signature=abc", scrutiny=pb.SCRUTINY_HIGH
        ),
        "digest": pb.ScoreRequest(content_digest=f"blake3:{'0' * 64}", explain_blocks=True),
        "context": pb.ScoreRequest(
            uri="file:///x", context=pb.PlatformContext(account="a", listing="l", language="en")
        ),
    }
    items = {f"item-{name}": pb.ScoreStreamRequest(request=request) for name, request in asked.items()}
    return {name: message.SerializeToString() for name, message in (asked | items).items()}
