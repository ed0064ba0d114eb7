"""What a sampling worker answers, as it goes through the channel: a header of JSON and, as they are, the clips.

A message is its length, the header's length, the header and the clips one after the other. It is not a pickle: a
worker that a hostile video has taken over must not decide what the gateway runs. `checked_reply` reads it.
"""

from __future__ import annotations

import json
import traceback
from dataclasses import asdict
from typing import Any

from wildgate_server.errors import VideoTooLarge, WildgateError
from wildgate_server.media.sampled_video import MAX_TEXT, SampledVideo

__all__ = [
    "HEADER_ROOM_BYTES",
    "LENGTH_BYTES",
    "MAX_METADATA",
    "MAX_TRACEBACK",
    "READY",
    "error_reply",
    "sampled_reply",
]

LENGTH_BYTES = 8  # of the number before each message, and before each reply's header, that says its length
READY = bytes(LENGTH_BYTES)  # an empty message: the worker has imported all it needs
HEADER_ROOM_BYTES = 1 << 20  # of a reply, beside its clips
MAX_TRACEBACK = 20_000
MAX_METADATA = 16  # entries of an error's metadata


def sampled_reply(video: SampledVideo, max_clip_bytes: int) -> bytes:
    """A sampled video; the error for one that is larger than a reply may be."""
    header = asdict(video)
    for track in header["tracks"]:
        for window in track["windows"]:
            window["clip"] = ""  # which follows the header
    clips = [window.clip for window in video.windows]
    reply = _reply({"kind": "sampled", "video": header, "clip_sizes": [*map(len, clips)]}, clips)
    if len(reply) > max_clip_bytes + HEADER_ROOM_BYTES:
        return error_reply(VideoTooLarge.past("max_clip_bytes", max_clip_bytes, video.clip_bytes))
    return reply


def error_reply(error: Exception) -> bytes:
    """What the task raised, with the traceback unless it is a refusal; to be called in the exception's handler."""
    if isinstance(error, WildgateError):
        metadata = list(error.metadata.items())[:MAX_METADATA]
        return _reply(
            {
                "kind": "refused",
                "error": type(error).__name__,
                "message": _text(error.message),
                "metadata": {_text(name): _text(value) for name, value in metadata},
                "field": None if error.field is None else _text(error.field),
                "retry_after_s": error.retry_after_s,
            }
        )
    if isinstance(error, MemoryError):
        return _reply({"kind": "out of memory"})
    told = "".join(traceback.format_exception_only(error)).strip()
    trace = "".join(traceback.format_exception(error))
    return _reply({"kind": "failed", "message": _text(told), "traceback": _text(trace[-MAX_TRACEBACK:], None)})


def _text(text: str, limit: int | None = MAX_TEXT) -> str:
    """A text that the gateway will take: of bounded length, and Unicode."""
    return text[:limit].encode(errors="replace").decode()


def _reply(header: dict[str, Any], clips: list[bytes] | None = None) -> bytes:
    head = json.dumps(header, separators=(",", ":")).encode()
    clips = clips or []
    size = LENGTH_BYTES + len(head) + sum(map(len, clips))
    return b"".join((size.to_bytes(LENGTH_BYTES, "little"), len(head).to_bytes(LENGTH_BYTES, "little"), head, *clips))
