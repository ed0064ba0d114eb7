"""From a video's bytes to clip windows; runs in a sampling worker, where hostile input can only hurt itself.

This is step 3 of the way a video goes: read the container's index, choose frames, copy their packets. No decoding.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from blake3 import blake3

from wildgate_server.coded_stream import UNKNOWN_CODING, Coding
from wildgate_server.container import Video, open_video
from wildgate_server.errors import CorruptVideo, FetchFailed, UriNotFound, VideoTooLarge
from wildgate_server.sampling import Pick, SamplingConfig, plan_sampling, plan_windows

__all__ = ["ClipWindow", "SampledVideo", "VideoLimits", "sample_video"]


@dataclass(frozen=True, slots=True)
class VideoLimits:
    """What a video may hold: bytes of the file, pixels of a stored picture, seconds from first to last frame."""

    max_bytes: int
    max_pixels: int
    max_seconds: float


@dataclass(frozen=True, slots=True)
class ClipWindow:
    """One request row for Triton.

    `frame_index` has F places, each the rank of a frame among the clip's frames in presentation order; `times_s` are
    the presentation times of the looked-at frames, so places from `len(times_s)` on repeat the last one.
    `coded_frames` is how many frames the clip holds.
    """

    clip: bytes
    frame_index: tuple[int, ...]
    times_s: tuple[float, ...]
    coded_frames: int

    def frames(self) -> list[ClipWindow]:
        """The same clip with each looked-at frame as a window of its own."""
        places = len(self.frame_index)
        return [
            ClipWindow(self.clip, (index,) * places, (time_s,), self.coded_frames)
            for index, time_s in zip(self.frame_index, self.times_s, strict=False)
        ]


@dataclass(frozen=True, slots=True)
class SampledVideo:
    """What is known of a video without decoding it, and its windows in presentation order.

    `first_s` and `last_s` are the presentation times of its first and last frame, in seconds; `coding` is how the
    windows' clips are coded, all unknown where `read_coding` is off.
    """

    format: str
    codec: str
    profile: str
    width: int
    height: int
    rotation: int
    first_s: float
    last_s: float
    content_bytes: int
    content_digest: str
    windows: tuple[ClipWindow, ...]
    read_ms: float
    sample_ms: float
    coding: Coding = UNKNOWN_CODING

    @property
    def clip_bytes(self) -> int:
        """Bytes that go on to Triton, padding aside."""
        return sum(len(window.clip) for window in self.windows)


def sample_video(source: bytes | Path, config: SamplingConfig, limits: VideoLimits) -> SampledVideo:
    """Samples the video in `source`, its bytes or a file.

    Raises NotAVideo, NoVideoStream, CorruptVideo, UnsupportedCodec, VideoTooLarge, and for a file UriNotFound or
    FetchFailed.
    """
    started = perf_counter()
    content = source if isinstance(source, bytes) else _read(source, limits)
    if len(content) > limits.max_bytes:
        raise VideoTooLarge.past("max_bytes", limits.max_bytes, len(content))
    read = perf_counter()
    with open_video(io.BytesIO(content)) as video:
        if video.width * video.height > limits.max_pixels:
            raise VideoTooLarge.past("max_pixels", limits.max_pixels, video.width * video.height)
        plan = plan_sampling(video.samples, config)
        if plan is None:
            raise CorruptVideo("the video stream holds no frame that can be shown", field="source")
        if plan.last_s - plan.first_s > limits.max_seconds:
            raise VideoTooLarge.past("max_seconds", limits.max_seconds, plan.last_s - plan.first_s)
        windows, rotation, coding = _cut(video, plan.picks, config)
        return SampledVideo(
            format=video.format,
            codec=video.codec,
            profile=video.profile,
            width=video.width,
            height=video.height,
            rotation=rotation,
            first_s=plan.first_s,
            last_s=plan.last_s,
            content_bytes=len(content),
            content_digest=f"blake3:{blake3(content).hexdigest()}",
            windows=windows,
            read_ms=(read - started) * 1e3,
            coding=coding,
            sample_ms=(perf_counter() - read) * 1e3,
        )


def _read(file: Path, limits: VideoLimits) -> bytes:
    try:
        size = file.stat().st_size
        if size > limits.max_bytes:
            raise VideoTooLarge.past("max_bytes", limits.max_bytes, size)
        return file.read_bytes()
    except FileNotFoundError:
        raise UriNotFound("no file lies at the URI", field="uri") from None
    except OSError as error:
        raise FetchFailed(f"the file cannot be read: {error.strerror}", field="uri") from None


def _cut(video: Video, picks: Sequence[Pick], config: SamplingConfig) -> tuple[tuple[ClipWindow, ...], int, Coding]:
    windows = []
    rotation = 0
    planned = plan_windows(picks, config)
    needs = [_needed(video, window) for window in planned]
    coding = video.coding(needs) if config.read_coding else UNKNOWN_CODING
    for window, needed in zip(planned, needs, strict=True):
        clip = video.clip(needed, coding)
        by_time = sorted(needed, key=lambda at: (video.samples[at].time_s, at))
        rank = {at: place for place, at in enumerate(by_time)}
        places = [rank[pick.sample] for pick in window]
        places += [places[-1]] * (config.frames_per_window - len(places))
        windows.append(ClipWindow(clip.data, tuple(places), tuple(pick.time_s for pick in window), len(needed)))
        rotation = clip.rotation
    return tuple(windows), rotation, coding


def _needed(video: Video, window: Sequence[Pick]) -> list[int]:
    """The samples that decoding the window's picks takes, in decode order.

    A run leaves out what is shown before its keyframe: leading pictures refer to a GOP that the clip does not hold,
    and nothing after them refers to them.
    """
    needed: set[int] = set()
    for pick in window:
        start_s = video.samples[pick.keyframe].time_s
        run = range(pick.keyframe, pick.sample + 1)
        needed.update(at for at in run if video.samples[at].time_s >= start_s)
    return sorted(needed)
