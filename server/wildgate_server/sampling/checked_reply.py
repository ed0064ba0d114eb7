"""A sampling worker's reply, read by the gateway: every part of it is checked, for a hostile video may have made it.

What is in bounds may still be untrue; it is then an untrue answer about that video.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from itertools import pairwise
from math import isfinite
from typing import Any, NoReturn, TypeVar

from wildgate_server import errors
from wildgate_server.errors import WildgateError
from wildgate_server.media.coding import Coding
from wildgate_server.media.sampled_video import ClipWindow, SampledVideo
from wildgate_server.sampling.plan import SamplingConfig
from wildgate_server.sampling.reply import HEADER_ROOM_BYTES, LENGTH_BYTES, MAX_METADATA, MAX_TEXT, MAX_TRACEBACK

__all__ = ["MalformedReply", "ReplyBounds", "TaskFailed", "check_ready", "sampled_of"]

Result = TypeVar("Result")

_SAMPLED_DIGEST = re.compile(r"blake3-sampled:[0-9a-f]{64}")
_MAX_COUNT = (1 << 63) - 1  # a protobuf int64
_MAX_SIDE = (1 << 31) - 1
_MAX_RETRY_S = 3600.0
_ROTATIONS = (0, 90, 180, 270)

# What a task may refuse a video with, by the class's name. What is not here it has no business to say.
_REFUSALS: Mapping[str, type[WildgateError]] = {
    kind.__name__: kind
    for kind in (
        errors.NotAVideo,
        errors.CorruptVideo,
        errors.NoVideoStream,
        errors.UnsupportedCodec,
        errors.VideoTooLarge,
        errors.InvalidRequest,
        errors.UriNotAllowed,
        errors.UriNotFound,
        errors.FetchFailed,
    )
}


class MalformedReply(Exception):
    """The reply makes no sense: whoever sent it is not to be asked again."""


class TaskFailed(Exception):
    """The task raised what it should not, as told by `traceback` in the worker."""

    def __init__(self, message: str, traceback: str) -> None:
        super().__init__(message)
        self.add_note(traceback)


@dataclass(frozen=True, slots=True)
class ReplyBounds:
    """What a reply may hold: windows of `places` places each, at most `max_windows`, and bytes in all."""

    places: int
    max_windows: int
    max_bytes: int

    @classmethod
    def of(cls, config: SamplingConfig) -> ReplyBounds:
        """The bounds of what is sampled by this configuration: a window has at least one frame looked at."""
        return cls(config.frames_per_window, config.max_frames, config.max_clip_bytes + HEADER_ROOM_BYTES)


def check_ready(reply: bytearray) -> None:
    """Raises MalformedReply unless the worker says that it is ready."""
    header, clips = _parts(reply)
    if header != {"kind": "ready"} or clips:
        raise MalformedReply("not ready")


def sampled_of(reply: bytearray, bounds: ReplyBounds, digest: str | None = None) -> SampledVideo:
    """The sampled video of a reply, or what the task raised.

    `digest` is the content's; for what lies at a URI the worker gives one, which can never pass for that of content:
    its verdict would be somebody else's. Raises the refusals of a task,
    MemoryError, TaskFailed, and MalformedReply for anything that is no reply.
    """
    header, clips = _parts(reply)
    if header.get("kind") == "sampled":
        return _malformed_unless_read(lambda: _sampled(header, clips, bounds, digest))
    if clips:
        raise MalformedReply("clips without a video")
    raise _malformed_unless_read(lambda: _raised(header))


def _parts(reply: bytearray) -> tuple[dict[str, Any], memoryview]:
    whole = memoryview(reply).toreadonly()
    end = LENGTH_BYTES + int.from_bytes(whole[:LENGTH_BYTES], "little")
    if end > min(len(whole), LENGTH_BYTES + HEADER_ROOM_BYTES):
        raise MalformedReply("the header is longer than may be")
    header: Any = _malformed_unless_read(lambda: json.loads(bytes(whole[LENGTH_BYTES:end]), parse_constant=_no_number))
    if not isinstance(header, dict):
        raise MalformedReply("the header is no object")
    return header, whole[end:]


def _malformed_unless_read(read: Callable[[], Result]) -> Result:
    """What `read` returns. Raises MalformedReply for whatever it trips over, such as a missing key or deep nesting."""
    try:
        return read()
    except MalformedReply:
        raise
    except Exception as error:
        raise MalformedReply(f"the reply cannot be read: {error!r:.200}") from None


def _raised(header: dict[str, Any]) -> Exception:
    match header["kind"]:
        case "out of memory":
            return MemoryError()
        case "surprise":
            return TaskFailed(_text(header["message"]), _text(header["traceback"], MAX_TRACEBACK))
        case "refused":
            metadata, retry_after_s = header["metadata"], header["retry_after_s"]
            if len(metadata) > MAX_METADATA:
                raise MalformedReply("more metadata than may be")
            return _REFUSALS[header["error"]](
                _text(header["message"]),
                metadata={_text(name): _text(value) for name, value in metadata.items()},
                field=None if header["field"] is None else _text(header["field"]),
                retry_after_s=None if retry_after_s is None else _duration(retry_after_s),
            )
    raise MalformedReply("a reply of no kind")


def _sampled(header: dict[str, Any], clips: memoryview, bounds: ReplyBounds, digest: str | None) -> SampledVideo:
    about, windows, coding = header["about"], header["windows"], header["coding"]
    if not 0 < len(windows) <= bounds.max_windows:
        raise MalformedReply("more windows than may be, or none")
    ends = [0]
    for size, *_ in windows:
        ends.append(ends[-1] + _count(size))
    if ends[-1] != len(clips):
        raise MalformedReply("the clips are not as long as they are said to be")
    if digest is None:
        digest = about["content_digest"]
        if not _SAMPLED_DIGEST.fullmatch(digest):
            raise MalformedReply("no digest of a sampled video")
    first_s, last_s = _ascending([about["first_s"], about["last_s"]])
    return SampledVideo(
        format=_text(about["format"]),
        codec=_text(about["codec"]),
        profile=_text(about["profile"]),
        width=_count(about["width"], _MAX_SIDE),
        height=_count(about["height"], _MAX_SIDE),
        rotation=_ROTATIONS[_ROTATIONS.index(_count(about["rotation"]))],
        first_s=first_s,
        last_s=last_s,
        windows=tuple(
            _window(bytes(clips[start:end]), window, bounds.places, (first_s, last_s))
            for (start, end), window in zip(pairwise(ends), windows, strict=True)
        ),
        content_bytes=_count(about["content_bytes"]),
        content_digest=digest,
        read_bytes=_count(about["read_bytes"]),
        read_requests=_count(about["read_requests"], _MAX_SIDE),
        read_ms=max(0.0, _number(about["read_ms"])),
        sample_ms=max(0.0, _number(about["sample_ms"])),
        coding=_coding(coding),
    )


def _window(clip: bytes, window: list[Any], places: int, shown_s: tuple[float, float]) -> ClipWindow:
    _, frame_index, times_s, coded_frames = window
    coded_frames = _count(coded_frames, _MAX_SIDE)
    if len(frame_index) != places or not 0 < len(times_s) <= places:
        raise MalformedReply("a window of another size")
    indices = tuple(_count(index, coded_frames - 1) for index in frame_index)
    if set(indices[len(times_s) :]) - {indices[len(times_s) - 1]}:
        raise MalformedReply("places to spare that do not repeat the last one")
    _, *times, _ = _ascending([shown_s[0], *times_s, shown_s[1]])
    return ClipWindow(clip, indices, tuple(times), coded_frames)


def _coding(coding: dict[str, Any]) -> Coding:
    known = {field.name for field in fields(Coding)}
    if set(coding) != known:
        raise MalformedReply("another coding")
    chroma = coding.pop("chroma")
    counts = {name: _count(coding.pop(name), _MAX_SIDE, or_none=True) for name in ("bit_depth", "matrix", "delay")}
    if not all(value is None or isinstance(value, bool) for value in coding.values()):
        raise MalformedReply("neither yes nor no nor unknown")
    return Coding(chroma=None if chroma is None else _text(chroma), **counts, **coding)


def _text(value: Any, limit: int = MAX_TEXT) -> str:
    if not isinstance(value, str) or len(value) > limit:
        raise MalformedReply("no text, or more of it than may be")
    value.encode()  # raises for half a surrogate pair, which no answer can carry on
    return value


def _count(value: Any, most: int = _MAX_COUNT, *, or_none: bool = False) -> Any:
    """A whole number from 0 to `most`; a bool is none."""
    if or_none and value is None:
        return None
    if type(value) is not int or not 0 <= value <= most:
        raise MalformedReply("no whole number in bounds")
    return value


def _number(value: Any) -> float:
    if type(value) not in (int, float) or not isfinite(value):
        raise MalformedReply("no finite number")
    return float(value)


def _duration(value: Any) -> float:
    if not 0 <= (number := _number(value)) <= _MAX_RETRY_S:
        raise MalformedReply("a duration out of bounds")
    return number


def _ascending(times: list[Any]) -> list[float]:
    numbers = [_number(time) for time in times]
    if any(after < before for before, after in pairwise(numbers)):
        raise MalformedReply("times that go back")
    return numbers


def _no_number(name: str) -> NoReturn:
    raise MalformedReply(f"{name} is no number")
