"""Sampling against a full decode of the same video: time and bytes, in one process on one core.

The video is composed: 15 s of 720x1280 H.264 at 30 frames/s with a keyframe every 2 s, about 5 MB, two scenes that
move against each other under changing light, with a sensor's noise. Both ways are timed in interleaved rounds; the
figures are medians.

    python perf/sampling_against_decode.py [--video FILE] [--rounds N] [--json FILE]
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
from math import cos, sin
from pathlib import Path
from statistics import median
from time import perf_counter

import av
import cv2
import numpy as np

from wildgate_server.sampler import SampledVideo, VideoLimits, sample_video
from wildgate_server.sampling import SamplingConfig

WIDTH, HEIGHT, FPS, SECONDS, KEYFRAME_EVERY_S = 720, 1280, 30, 15, 2
LIMITS = VideoLimits(max_bytes=1 << 30, max_pixels=1 << 28, max_seconds=3600)
CONFIG = SamplingConfig(frames_per_window=8, read_coding=False)


def compose() -> bytes:
    """The video described above."""
    rng = np.random.default_rng(7)
    scenes = [
        cv2.resize(
            rng.integers(40, 215, (40, 24, 3), np.uint8), (WIDTH + 400, HEIGHT + 400), interpolation=cv2.INTER_CUBIC
        )
        for _ in range(2)
    ]
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as output:
        stream = output.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = WIDTH, HEIGHT, "yuv420p", 2_800_000
        gop = FPS * KEYFRAME_EVERY_S
        stream.options = {"preset": "veryfast", "x264-params": f"keyint={gop}:min-keyint={gop}:scenecut=0"}
        for number in range(FPS * SECONDS):
            x, y = round(200 + 200 * sin(number / 9)), round(200 + 200 * cos(number / 7))
            first = scenes[0][y : y + HEIGHT, x : x + WIDTH]
            second = scenes[1][y : y + HEIGHT, 400 - x : 400 - x + WIDTH]
            light = 0.5 + 0.5 * sin(number / 5)
            noise = rng.normal(0, 3, (HEIGHT, WIDTH, 1))
            frame = np.clip(first * light + second * (1 - light) + noise, 0, 255).astype(np.uint8)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        output.mux(stream.encode(None))
    return buffer.getvalue()


def decode_all(content: bytes) -> int:
    """Decodes every frame on one thread; the number of frames."""
    with av.open(io.BytesIO(content), "r") as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        return sum(1 for _ in container.decode(stream))


def measure(content: bytes, rounds: int) -> dict[str, float]:
    """Figures of both ways, times in milliseconds."""
    sampling_ms, decoding_ms, frames = [], [], 0
    sampled: SampledVideo = sample_video(content, CONFIG, LIMITS)
    for _ in range(rounds):
        started = perf_counter()
        sampled = sample_video(content, CONFIG, LIMITS)
        between = perf_counter()
        frames = decode_all(content)
        sampling_ms.append((between - started) * 1e3)
        decoding_ms.append((perf_counter() - between) * 1e3)
    return {
        "video_bytes": len(content),
        "video_frames": frames,
        "looked_at_frames": sum(len(window.times_s) for window in sampled.windows),
        "clip_bytes": sampled.clip_bytes,
        "bytes_fraction": sampled.clip_bytes / len(content),
        "full_decode_ms": median(decoding_ms),
        "sampling_ms": median(sampling_ms),
        "time_fraction": median(sampling_ms) / median(decoding_ms),
    }


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--video", type=Path, help="a video of your own instead of the composed one")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    content = arguments.video.read_bytes() if arguments.video else compose()
    figures = measure(content, arguments.rounds)
    print(f"one core of {platform.processor() or platform.machine()}, {arguments.rounds} interleaved rounds, medians")
    print(
        f"  {'full decode':<12} {figures['full_decode_ms']:9.1f} ms  {figures['video_bytes']:9.0f} bytes  "
        f"{figures['video_frames']:4.0f} frames"
    )
    print(
        f"  {'sampling':<12} {figures['sampling_ms']:9.1f} ms  {figures['clip_bytes']:9.0f} bytes  "
        f"{figures['looked_at_frames']:4.0f} frames to look at"
    )
    print(f"  {'fraction':<12} {figures['time_fraction']:9.4f}     {figures['bytes_fraction']:9.4f}")
    print("  (aim: time at most 0.01, bytes at most 0.08)")
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
