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
    content, sampler = bench.videos()[0].read_bytes(), Sampler(bench.repository)
    sampling_ms, decoding_ms = [], []
    for _ in range(bench.plan.decoding_rounds):
        began = perf_counter()
        sampled = sampler.sample(content)
        between = perf_counter()
        _decode_all(content)
        sampling_ms.append((between - began) * 1e3)
        decoding_ms.append((perf_counter() - between) * 1e3)
    time_fraction = Spread.ratios(sampling_ms, decoding_ms)
    bytes_fraction = round(sampled.clip_bytes / len(content), 5)
    bench.say(f"sampling_over_decoding: {time_fraction.median:.4f} of the time, {bytes_fraction:.4f} of the bytes")
    details = {
        "time_fraction": time_fraction.as_json(),
        "bytes_fraction": bytes_fraction,
        "sampling_ms": Spread.of(sampling_ms).as_json(),
        "full_decode_ms": Spread.of(decoding_ms).as_json(),
    }
    return Findings(details={"sampling_over_decoding": details})


def _decode_all(content: bytes) -> None:
    with av.open(io.BytesIO(content), "r") as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        for _ in container.decode(stream):
            pass
