"""Settings of how videos are sampled; for the gateway only, as workers do without pydantic."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from wildgate_server.config_section import ConfigSection
from wildgate_server.cores import available_cores
from wildgate_server.media.containers import CONTAINERS, checked_container
from wildgate_server.media.sampled_video import VideoLimits
from wildgate_server.sampling.plan import SamplingConfig
from wildgate_server.source.source_settings import SourceSettings

__all__ = ["SamplingSettings"]


Container = Annotated[str, AfterValidator(checked_container)]


class SamplingSettings(ConfigSection):
    """How a video is looked at, and the processes that do it."""

    max_gap_s: float = Field(2.0, gt=0)
    """Longest stretch of a video to leave without a looked-at frame."""
    cheap_gap_s: float = Field(1.0, gt=0)
    """The same where it costs little, as in small pictures; `max_gap_s` or more to treat all alike."""
    max_frames: int = Field(64, ge=1)
    """Frames looked at per video, at most."""
    max_decoded_frames: int = Field(2000, ge=1)
    """Frames decoded for these, at most; only videos with sparse keyframes come near."""
    high_max_gap_s: float = Field(1.0, gt=0)
    """Longest stretch to leave without a looked-at frame where a caller asks for high scrutiny."""
    high_cheap_gap_s: float = Field(0.5, gt=0)
    """The same where it costs little."""
    high_max_frames: int = Field(192, ge=1)
    """Frames looked at per video, at most, where a caller asks for high scrutiny."""
    high_max_decoded_frames: int = Field(4000, ge=1)
    """Frames decoded for these, at most."""
    random_share: float = Field(0.05, ge=0, le=1)
    """Share of videos of which a frame more is looked at that nobody can foretell; such a video costs twice as much."""
    secret_file: Path | None = None
    """A file with the secret, 16 bytes or more, that the random choice is drawn with; a fleet shares it, so that equal
    videos have equal verdicts. Without one a process makes its own when it starts, and draws
    nothing where it shares a cache."""
    max_clip_mb: int = Field(64, ge=1)
    """Megabytes sent to Triton per video, at most."""
    max_tracks: int = Field(8, ge=1)
    """Video tracks in one file, at most; all are looked at, and share what one video may cost."""
    containers: tuple[Container, ...] = CONTAINERS
    """Containers that videos may come in, by the names of FFmpeg's demuxers. What opens other files or addresses
    (playlists, image sequences, devices, protocols) is refused."""
    workers: int = Field(default_factory=available_cores, ge=1)
    """Sampling processes."""
    fetch_workers: int = Field(default_factory=lambda: min(4 * available_cores(), 16), ge=1)
    """As many more, at most, for what lies behind http, https, s3 and gs URIs: so many are read at once. Each is
    started when all others are busy, and then takes some 36 MB."""
    timeout_s: float = Field(10.0, gt=0)
    """A worker busy with one video for longer is killed, and the video refused."""
    processor_s: float = Field(3.0, gt=0)
    """Processor seconds that reading a video once may take; one that takes more is refused."""
    worker_memory_mb: int = Field(1024, ge=256)
    """Memory of one worker; a video that needs more is refused."""

    def config(self, frames_per_window: int, *, read_coding: bool) -> SamplingConfig:
        """How the sampler is to look at a video, for clip windows of F = `frames_per_window` places."""
        return SamplingConfig(
            frames_per_window=frames_per_window,
            max_gap_s=self.max_gap_s,
            cheap_gap_s=self.cheap_gap_s,
            max_frames=self.max_frames,
            max_decoded_frames=self.max_decoded_frames,
            max_clip_bytes=self.max_clip_mb << 20,
            read_coding=read_coding,
            high_max_gap_s=self.high_max_gap_s,
            high_cheap_gap_s=self.high_cheap_gap_s,
            high_max_frames=self.high_max_frames,
            high_max_decoded_frames=self.high_max_decoded_frames,
            random_share=self.random_share,
        )

    def limits(self, source: SourceSettings, max_pixels: int) -> VideoLimits:
        """What a video may hold, a picture at most `max_pixels`."""
        return VideoLimits(source.max_bytes, max_pixels, source.max_seconds, self.max_tracks, self.containers)
