"""What a sampling worker does with a changed video: samples it, and decodes what was sampled as Triton would."""

from __future__ import annotations

from functools import cache
from typing import Any

from wildgate_perf.offline import model_module
from wildgate_perf.server_parts import (
    Look,
    SampledVideo,
    SamplingConfig,
    VideoLimits,
    VideoTooCostly,
    sample_video,
)
from wildgate_perf.server_process import MODEL_REPOSITORY

__all__ = ["sample_and_decode"]

_SIDE = 32  # of the squares that pictures are scaled to
_WINDOW_S = 1.0
_COSTLY = 3


def sample_and_decode(source: Any, config: SamplingConfig, limits: VideoLimits, look: Look) -> SampledVideo:
    """The sampled video, every window of which was decoded. Raises what sampling raises, and VideoTooCostly."""
    video = sample_video(source, config, limits, look)
    decoder = _decoder()
    scaler, bounds = decoder.FrameScaler(_SIDE, 114), decoder.Limits(limits.max_pixels, _WINDOW_S)
    for track in video.tracks:
        for window in track.windows:
            try:
                decoded = decoder.decode_window(window.clip, window.frame_index, track.display.row, scaler, bounds)
            except decoder.ClipRefusedError:
                continue
            if _COSTLY in decoded.sound:
                raise VideoTooCostly("a window takes longer than it may", field="source")
    return video


@cache
def _decoder() -> Any:
    return model_module(MODEL_REPOSITORY / "clip_decoder" / "1" / "model.py")
