"""`make fuzz`: changes small videos and requests at random, has them read and decoded, and says what came of it."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from wildgate_perf.fuzz.corpus import requests, videos
from wildgate_perf.fuzz.mutation import mutated
from wildgate_perf.fuzz.reading import sample_and_decode
from wildgate_perf.machine_facts import machine_facts
from wildgate_perf.results import RESULTS, write
from wildgate_perf.server_parts import (
    Budget,
    BudgetSettings,
    Content,
    SamplingPool,
    SamplingSettings,
    SourceSettings,
    VideoLimits,
    VideoTooCostly,
    WildgateError,
    available_cores,
    content_digest,
    received_item,
    received_request,
)

__all__ = ["Found", "fuzz"]

_ROUND = 500  # videos, after which a sound one must be read as ever
_REQUESTS_FOR_A_VIDEO = 4  # these cost next to nothing
_MAX_PIXELS = 1 << 22
_BUDGET = BudgetSettings(processor_s=5.0)


@dataclass(slots=True)
class Found:
    """What came of how many inputs.

    `costly` are those that were refused as VIDEO_TOO_COSTLY, each its name, seed and what was said; `faults`, alike,
    are what no input may do: crash or hang what reads it, be a surprise, or make a sound video be read in another way.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    costly: list[tuple[str, int, str]] = field(default_factory=list)
    requests: int = 0
    faults: list[tuple[str, int, str]] = field(default_factory=list)
    dearest_s: float = 0.0

    @property
    def inputs(self) -> int:
        """All that were tried."""
        return self.outcomes.total() + self.requests


async def fuzz(seeds: range, *, workers: int = 1, keep: Path | None = None) -> Found:
    """Tries a video for each seed, and some requests; those at fault are written to `keep`."""
    found, corpus, asked = Found(), videos(), requests()
    names, contents = list(corpus), list(corpus.values())
    settings = SamplingSettings(workers=workers, fetch_workers=1)
    pool = SamplingPool(settings, settings.config(8, read_coding=True), _limits(settings), sample_and_decode)
    sentinel = partial(pool.sample, Content(contents[0], content_digest(contents[0])))

    async def one(seed: int) -> None:
        name = names[seed % len(names)]
        content = mutated(corpus[name], contents, seed)
        outcome, said = await _tried(pool, content, found)
        found.outcomes[outcome] += 1
        if said:
            is_costly = outcome == VideoTooCostly.reason
            (found.costly if is_costly else found.faults).append((name, seed, said))
            if keep:
                await asyncio.to_thread(_keep, keep / f"{name}-{seed}", content)

    try:
        as_ever = (await sentinel()).tracks
        for start in range(seeds.start, seeds.stop, _ROUND):
            batch = range(start, min(start + _ROUND, seeds.stop))
            turns = asyncio.Semaphore(workers)

            async def in_turn(seed: int, turns: asyncio.Semaphore = turns) -> None:
                async with turns:
                    await one(seed)

            await asyncio.gather(*map(in_turn, batch))
            for seed in range(batch.start * _REQUESTS_FOR_A_VIDEO, batch.stop * _REQUESTS_FOR_A_VIDEO):
                _try_request(asked, seed, found)
            if (await sentinel()).tracks != as_ever:
                found.faults.append(("sentinel", start, "a sound video is read in another way"))
    finally:
        await asyncio.to_thread(pool.close)
    return found


def _keep(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


async def _tried(pool: SamplingPool, content: bytes, found: Found) -> tuple[str, str]:
    """What came of a video: its outcome and, if that is to be told, why."""
    budget = Budget(_BUDGET)
    try:
        await pool.sample(Content(content, content_digest(content)), budget=budget)
    except VideoTooCostly as refusal:
        return refusal.reason, refusal.message
    except WildgateError as refusal:
        return refusal.reason, refusal.message if "crashed" in refusal.message or refusal.retry_after_s else ""
    except Exception as surprise:
        return "surprise", "".join(traceback.format_exception(surprise))[-2000:]
    finally:
        found.dearest_s = max(found.dearest_s, budget.processor_s)
    return "read", ""


def _try_request(asked: dict[str, bytes], seed: int, found: Found) -> None:
    name = list(asked)[seed % len(asked)]
    parse: Any = received_item if name.startswith("item") else received_request
    found.requests += 1
    try:
        parse(mutated(asked[name], list(asked.values()), seed))
    except Exception as surprise:
        found.faults.append((name, seed, repr(surprise)))


def _limits(settings: SamplingSettings) -> VideoLimits:
    return settings.limits(SourceSettings(), _MAX_PIXELS)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; 1 where there are faults."""
    parser = argparse.ArgumentParser(prog="python -m wildgate_perf.fuzz", description=__doc__)
    parser.add_argument("--videos", type=int, default=20_000, help="how many, and four requests for each (20000)")
    parser.add_argument("--seed", type=int, default=0, help="the first video's; as many follow (0)")
    parser.add_argument(
        "--workers", type=int, default=available_cores(), help="videos read at once (one for each core)"
    )
    parser.add_argument("--keep", type=Path, default=Path("out/fuzz"), help="where inputs at fault are written")
    parser.add_argument("--output", type=Path, default=RESULTS / "fuzz.json", help="the report")
    options = parser.parse_args(arguments)
    began = time.monotonic()
    seeds = range(options.seed, options.seed + options.videos)
    found = asyncio.run(fuzz(seeds, workers=options.workers, keep=options.keep))
    report = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine_facts(),
        "took_s": time.monotonic() - began,
        "first_seed": options.seed,
        "inputs": found.inputs,
        "videos": dict(found.outcomes.most_common()),
        "requests": found.requests,
        "dearest_s": found.dearest_s,
        "costly": [{"input": name, "seed": seed, "said": said} for name, seed, said in found.costly],
        "faults": [{"input": name, "seed": seed, "fault": fault} for name, seed, fault in found.faults],
    }
    write(options.output, report)
    print(f"{found.inputs} inputs, {len(found.faults)} at fault; {dict(found.outcomes.most_common())}")
    return int(bool(found.faults))


if __name__ == "__main__":
    sys.exit(main())
