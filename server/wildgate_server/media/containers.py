"""The containers that videos are read from, by FFmpeg's names of its demuxers. Untrusted bytes choose among them."""

from __future__ import annotations

from av.format import ContainerFormat

__all__ = ["CONTAINERS", "checked_container"]

CONTAINERS = (
    # What players and cameras write.
    *("asf", "avi", "dv", "flv", "gxf", "ivr", "matroska", "mov", "mpeg", "mpegts", "mxf", "nsv", "nut", "ogg", "rm"),
    *("wtv", "yuv4mpegpipe"),
    # A codec's own.
    *("apng", "av1", "cavsvideo", "dirac", "dnxhd", "gif", "h261", "h263", "h264", "hevc", "ivf", "m4v", "mjpeg"),
    *("mpegvideo", "obu", "vc1", "vc1test", "vvc"),
    # Sound alone, so that it is told from what is not media at all.
    *("aac", "ac3", "amr", "eac3", "flac", "loas", "mp3", "wav"),
)
"""What is read by default. All open nothing but the bytes that they are given."""

# These open what the file names, or listen to a network. FFmpeg itself tells of devices and of most image sequences.
_OPEN_OTHERS = frozenset({"concat", "dash", "hls", "image2pipe", "imf", "rtsp", "sdp", "vobsub", "webm_dash_manifest"})


def checked_container(name: str) -> str:
    """The name. Raises ValueError for one that FFmpeg does not have, and for what must never get untrusted bytes."""
    try:
        container = ContainerFormat(name, "r")
    except ValueError:
        raise ValueError(f"FFmpeg has no demuxer named {name!r}") from None
    if container.no_file or name.endswith("_pipe") or _OPEN_OTHERS & set(container.name.split(",")):
        raise ValueError(f"{name!r} is a playlist, an image sequence, a device or a network protocol, not a container")
    return name
