"""A sampling worker's reply, read by the gateway: every part of it is checked, for a hostile video may have made it.

What is in bounds may still be untrue; it is then an untrue answer about that video.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate, pairwise
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from wildgate_server.errors import FetchFailed, InvalidRequest, InvalidVideo, UriNotAllowed, UriNotFound, WildgateError
from wildgate_server.media.sampled_video import MAX_TEXT, ClipWindow, SampledTrack, SampledVideo
from wildgate_server.sampling.plan import SamplingConfig
from wildgate_server.sampling.reply import HEADER_ROOM_BYTES, LENGTH_BYTES, MAX_METADATA, MAX_TRACEBACK

__all__ = ["MalformedReply", "TaskFailed", "sampled_of"]

_SAMPLED_DIGEST = re.compile(r"blake3-sampled:[0-9a-f]{64}")

# What a task may refuse a video with, by the class's name. What is not here it has no business to say.
_REFUSALS: Mapping[str, type[WildgateError]] = {
    kind.__name__: kind
    for kind in (*InvalidVideo.__subclasses__(), InvalidRequest, UriNotAllowed, UriNotFound, FetchFailed)
}

_Text = Annotated[str, Field(max_length=MAX_TEXT)]


class MalformedReply(Exception):
    """The reply makes no sense: the worker that sent it is not to be asked again."""


class TaskFailed(Exception):
    """The task raised what it should not, as told by `traceback` in the worker."""

    def __init__(self, message: str, traceback: str) -> None:
        super().__init__(message)
        self.add_note(traceback)


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


class _StarvedReply(_Part):
    kind: Literal["out of memory"]


class _FailedReply(_Part):
    kind: Literal["failed"]
    message: _Text
    traceback: Annotated[str, Field(max_length=MAX_TRACEBACK)]


class _RefusedReply(_Part):
    kind: Literal["refused"]
    error: _Text
    message: _Text
    metadata: Annotated[dict[_Text, _Text], Field(max_length=MAX_METADATA)]
    field: _Text | None
    retry_after_s: Annotated[float, Field(ge=0, le=3600)] | None


class _SampledReply(_Part):
    kind: Literal["sampled"]
    video: SampledVideo  # whose types say what each value may be
    clip_sizes: tuple[Annotated[int, Field(ge=0)], ...]


_Reply = _StarvedReply | _FailedReply | _RefusedReply | _SampledReply
_REPLIES: TypeAdapter[_Reply] = TypeAdapter(Annotated[_Reply, Field(discriminator="kind")])


def sampled_of(reply: bytearray, config: SamplingConfig, digest: str | None = None) -> SampledVideo:
    """The sampled video of a reply to a task with this configuration, or what the task raised.

    `digest` is the content's; for what lies at a URI the worker gives one, which can never pass for that of content:
    its verdict would be somebody else's. Raises the refusals of a task, MemoryError, TaskFailed, and MalformedReply for
    anything else.
    """
    header, clips = _parts(reply)
    if clips and not isinstance(header, _SampledReply):
        raise MalformedReply("clips without a video")
    match header:
        case _SampledReply():
            return _sampled(header, clips, config, digest)
        case _RefusedReply(error=name) if name in _REFUSALS:
            raise _REFUSALS[name](
                header.message, metadata=header.metadata, field=header.field, retry_after_s=header.retry_after_s
            )
        case _StarvedReply():
            raise MemoryError
        case _FailedReply():
            raise TaskFailed(header.message, header.traceback)
    raise MalformedReply("neither a video nor an error that a task may raise")


def _parts(reply: bytearray) -> tuple[_Reply, memoryview]:
    whole = memoryview(reply).toreadonly()
    end = LENGTH_BYTES + int.from_bytes(whole[:LENGTH_BYTES], "little")
    if end > min(len(whole), LENGTH_BYTES + HEADER_ROOM_BYTES):
        raise MalformedReply("the header is too long")
    try:
        return _REPLIES.validate_json(bytes(whole[LENGTH_BYTES:end])), whole[end:]
    except ValidationError as error:
        [first, *_] = error.errors(include_url=False, include_input=False, include_context=False)
        raise MalformedReply(f"{first['loc']}: {first['msg']:.200}") from None


def _sampled(header: _SampledReply, clips: memoryview, config: SamplingConfig, digest: str | None) -> SampledVideo:
    video, sizes = header.video, header.clip_sizes
    if not 0 < len(video.windows) <= max(config.max_frames, config.high_max_frames):  # each has a frame to look at
        raise MalformedReply("no windows, or too many")
    numbers = {track.number for track in video.tracks if track.windows}
    if len(numbers) < len(video.tracks):
        raise MalformedReply("a track without windows, or one given twice")
    if len(sizes) != len(video.windows) or sum(sizes) != len(clips):
        raise MalformedReply("the clips are not as long as they are said to be")
    if digest is None and not _SAMPLED_DIGEST.fullmatch(video.content_digest):
        raise MalformedReply("no digest of a sampled video")
    cuts = iter([bytes(clips[end - size : end]) for end, size in zip(accumulate(sizes), sizes, strict=True)])
    tracks: list[SampledTrack] = []
    for track in video.tracks:
        for window in track.windows:
            _check_window(window, config.frames_per_window, (track.first_s, track.last_s))
        tracks.append(replace(track, windows=tuple(replace(window, clip=next(cuts)) for window in track.windows)))
    return replace(
        video,
        tracks=tuple(tracks),
        content_digest=digest or video.content_digest,
        sample_ms=max(0.0, video.sample_ms),
    )


def _check_window(window: ClipWindow, places: int, shown_s: tuple[float, float]) -> None:
    index, looked_at = window.frame_index, len(window.times_s)
    if len(index) != places or not 0 < looked_at <= places or max(index) >= window.coded_frames:
        raise MalformedReply("a window of another size")
    if set(index[looked_at:]) - {index[looked_at - 1]}:
        raise MalformedReply("places to spare that do not repeat the last one")
    times_s: Sequence[float] = (shown_s[0], *window.times_s, shown_s[1])
    if any(after < before for before, after in pairwise(times_s)):
        raise MalformedReply("times that go back")
