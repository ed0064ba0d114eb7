"""A copy of a list of blocks, in a process of its own: `python -m wildgate_perf.block_list.copy DIRECTORY TARGET`.

It does what a gateway does with the list, asks it about a video all the while, and tells by the line on its output
(JSON) how far it has come, and for each line on its input how long lookups took since the last one.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil

from wildgate_perf.loops import percentile
from wildgate_perf.server_parts import (
    HASH_BYTES,
    BlockFollower,
    BlockList,
    BlockRules,
    BlocksSettings,
    FrameFingerprint,
    VideoFingerprint,
    resemblances,
)

_FRAMES, _REGIONS = 16, 8  # of the video that it asks about
_PAUSE_S = 0.02


def main(directory: Path, target: str) -> None:
    """Runs until its input ends."""
    asyncio.run(_follow(directory, target))


async def _follow(directory: Path, target: str) -> None:
    began, busy = time.monotonic(), time.process_time()
    blocks = await BlockList.load(directory)
    _tell(
        loaded_s=time.monotonic() - began,
        loaded_cpu_s=time.process_time() - busy,
        position=blocks.position,
        at=time.monotonic(),
    )
    follower = BlockFollower(BlocksSettings(directory=directory, target=target), blocks)
    tasks = [asyncio.create_task(follower.run()), asyncio.create_task(_tell_changes(blocks, follower))]
    times: list[tuple[float, float]] = []
    threading.Thread(target=_ask, args=(blocks, times), daemon=True).start()
    while await asyncio.to_thread(sys.stdin.readline):
        some, times[:] = times[:], []
        kinds = zip(("cpu", "wall"), zip(*some, strict=True), strict=True) if some else ()
        figures = {f"{kind}_p{at}_ms": percentile(each, at / 100) for kind, each in kinds for at in (50, 99)}
        _tell(lookups={"count": len(some), **figures}, bytes=psutil.Process().memory_info().rss)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _tell_changes(blocks: BlockList, follower: BlockFollower) -> None:
    await follower.caught_up.wait()
    told = -1
    while True:
        changed = blocks.changed
        if blocks.position != told:
            told = blocks.position
            _tell(position=told, at=time.monotonic())
        await changed.wait()


def _ask(blocks: BlockList, times: list[tuple[float, float]]) -> None:
    draw, rules = np.random.default_rng(), BlockRules()
    while True:
        hashes = [tuple(draw.bytes(HASH_BYTES) for _ in range(1 + _REGIONS)) for _ in range(_FRAMES)]
        video = VideoFingerprint(
            tuple(FrameFingerprint(0, float(at), 90, each) for at, each in enumerate(hashes)), float(_FRAMES)
        )
        began, busy = time.perf_counter(), time.thread_time()
        resemblances(blocks, video, rules)
        times.append((1e3 * (time.thread_time() - busy), 1e3 * (time.perf_counter() - began)))
        time.sleep(_PAUSE_S)


def _tell(**figures: object) -> None:
    print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
