"""Sampling against a full decode of the same video: time and bytes, in this process, on one thread.

This is why sampling pays: what is not looked at is neither decoded nor sent on.
"""

from __future__ import annotations

import io
from time import perf_counter

import av

from wildgate_perf.bench.phase import Bench, Findings
from wildgate_perf.server_parts import Sampler
from wildgate_perf.spread import Spread


def sampling_over_decoding(bench: Bench) -> Findings:
    """Both fractions, for the first of the 5 MB videos held in memory; no target hangs on them."""
    content = bench.videos()[0].read_bytes()
    sampler = Sampler(bench.repository)
    sampled = sampler.sample(content)
    sampling_ms, decoding_ms, frames = [], [], 0
    for _ in range(bench.plan.decoding_rounds):
        began = perf_counter()
        sampler.sample(content)
        between = perf_counter()
        frames = _decode_all(content)
        sampling_ms.append((between - began) * 1e3)
        decoding_ms.append((perf_counter() - between) * 1e3)
    time_fraction = Spread.ratios(sampling_ms, decoding_ms)
    bytes_fraction = sampled.clip_bytes / len(content)
    bench.say(f"sampling_over_decoding: {time_fraction.median:.4f} of the time, {bytes_fraction:.4f} of the bytes")
    return Findings(
        details={
            "sampling_over_decoding": {
                "time_fraction": time_fraction.as_json(),
                "bytes_fraction": round(bytes_fraction, 5),
                "sampling_ms": Spread.of(sampling_ms).as_json(),
                "full_decode_ms": Spread.of(decoding_ms).as_json(),
                "video_bytes": len(content),
                "clip_bytes": sampled.clip_bytes,
                "video_frames": frames,
                "looked_at_frames": sum(len(window.times_s) for window in sampled.windows),
            }
        }
    )


def _decode_all(content: bytes) -> int:
    """Decodes every frame on one thread; the number of frames."""
    with av.open(io.BytesIO(content), "r") as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        return sum(1 for _ in container.decode(stream))
