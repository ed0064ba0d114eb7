"""Sampling in this process, without a server: for building engines, benchmarks, and training detectors."""

from __future__ import annotations

from pathlib import Path

from wildgate_server.errors import NotAVideo, WildgateError
from wildgate_server.media.sampled_video import ClipWindow, Display, SampledVideo, VideoLimits
from wildgate_server.sampling.look import PLAIN_LOOK, Look
from wildgate_server.sampling.plan import SamplingConfig
from wildgate_server.sampling.sampler import sample_video
from wildgate_server.sampling.sampling_settings import SamplingSettings
from wildgate_server.source.content import Content, content_digest
from wildgate_server.source.local_file import VideoFile
from wildgate_server.source.source_settings import SourceSettings

__all__ = [
    "ClipWindow",
    "Display",
    "NotAVideo",
    "SampledVideo",
    "SamplingConfig",
    "VideoLimits",
    "WildgateError",
    "default_config",
    "default_limits",
    "sample_content",
    "sample_file",
]


def default_config(frames_per_window: int) -> SamplingConfig:
    """How a server samples with the default settings and the cpu profile, for windows of F places."""
    return SamplingSettings().config(frames_per_window, read_coding=False)


def default_limits(max_pixels: int) -> VideoLimits:
    """What a video may hold by the default settings, a picture at most `max_pixels`."""
    return SamplingSettings().limits(SourceSettings(), max_pixels)


def sample_file(path: Path, config: SamplingConfig, limits: VideoLimits, look: Look = PLAIN_LOOK) -> SampledVideo:
    """Samples the video in a local file, as `look` asks.

    Raises NotAVideo, NoVideoStream, CorruptVideo, UnsupportedCodec, VideoTooLarge, UriNotFound and FetchFailed.
    """
    return sample_video(VideoFile(path), config, limits, look)


def sample_content(
    content: bytes, config: SamplingConfig, limits: VideoLimits, look: Look = PLAIN_LOOK
) -> SampledVideo:
    """Samples the video in a media file's bytes. Raises as `sample_file` does, but for what is read from a disk."""
    return sample_video(Content(content, content_digest(content)), config, limits, look)
