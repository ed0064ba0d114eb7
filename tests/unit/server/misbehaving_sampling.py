"""What a sampling worker may do to itself: the work itself, and what hostile media could make of it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from wildgate_server.sampler import SampledVideo, VideoLimits, sample_video
from wildgate_server.sampling import SamplingConfig


def sample_or_misbehave(source: bytes | Path, config: SamplingConfig, limits: VideoLimits) -> SampledVideo:
    """Samples a video; does what bytes of these few names say instead, or with a file what lies in it."""
    if isinstance(source, Path):
        started, go_on = source.read_text().splitlines()
        Path(started).write_text(str(os.getpid()))
        while not Path(go_on).exists():
            time.sleep(0.01)
        source = b"video"
    match source:
        case b"crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        case b"exit":
            os._exit(3)
        case b"hang":
            while True:
                time.sleep(60)
        case b"balloon":
            hoard = []
            while True:
                hoard.append(bytearray(1 << 28))
        case b"surprise":
            raise ZeroDivisionError("a bug")
        case b"video":
            return _nothing_sampled()
    return sample_video(source, config, limits)


def _nothing_sampled() -> SampledVideo:
    return SampledVideo(
        format=f"worker {os.getpid()}",
        codec="",
        profile="",
        width=0,
        height=0,
        rotation=0,
        first_s=0.0,
        last_s=0.0,
        content_bytes=0,
        content_digest="",
        windows=(),
        read_ms=0.0,
        sample_ms=0.0,
    )
