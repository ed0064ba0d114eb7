"""Wildgate's own sampler, used without a server: stands for `wildgate_server.sampling.offline` until that is there."""

from pathlib import Path

from wildgate_server.errors import NotAVideo, WildgateError
from wildgate_server.sampling.plan import SamplingConfig
from wildgate_server.sampling.sampler import ClipWindow, SampledVideo, VideoLimits, sample_video
from wildgate_server.settings import SamplingSettings, SourceSettings
from wildgate_server.source.local_file import VideoFile

__all__ = [
    "ClipWindow",
    "NotAVideo",
    "SampledVideo",
    "SamplingConfig",
    "VideoLimits",
    "WildgateError",
    "default_config",
    "default_limits",
    "sample_file",
]


def default_config(frames_per_window: int) -> SamplingConfig:
    """How a server with the default settings samples."""
    return SamplingSettings().config(frames_per_window, read_coding=False)


def default_limits(max_pixels: int) -> VideoLimits:
    """Which videos a server with the default settings takes."""
    return SourceSettings().limits(max_pixels)


def sample_file(path: Path, config: SamplingConfig, limits: VideoLimits) -> SampledVideo:
    """Samples a file. Raises WildgateError, NotAVideo for what is not a video at all."""
    return sample_video(VideoFile(path), config, limits)
