"""What handing cases over adds to an answer that is no case: an ALLOW from the cache, the cheapest there is.

Two gateways of the same settings differ by 3 % of processor time for as long as they run (medians of 400 rounds taken
in turns), so that comparing one that hands over with one that does not tells nothing of less. Hence the steps that are
added are timed by themselves, and held against what a real gateway takes for such an answer.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import psutil
from blake3 import blake3

from wildgate_client import Action, Content, ScoringClient
from wildgate_perf.cpu_time import kind_of
from wildgate_perf.server_parts import case_handoff_to, check_subject, free_address
from wildgate_perf.server_process import ServerProcess, serving
from wildgate_proto.v1 import scoring_pb2

__all__ = ["allowed"]

_CLIP = Path(__file__).resolve().parents[3] / "samples" / "cat_photograph.mp4"
_WARM_UP, _BLOCKS, _REQUESTS = 5, 40, 100


def allowed() -> dict[str, float]:
    """Processor microseconds of an ALLOW from the cache and of what handing over adds to it; medians of blocks."""
    content = _CLIP.read_bytes()
    digest = f"blake3:{blake3(content).hexdigest()}"
    with serving() as server:
        answer_us = median(asyncio.run(_answering(server, content, digest)))
    added_us = median(asyncio.run(_handing_over(digest)))
    return {"allow_us": answer_us, "allow_added_us": added_us, "allow_added_share": added_us / answer_us}


async def _answering(server: ServerProcess, content: bytes, digest: str) -> list[float]:
    gateway = next(each for each in server.processes() if kind_of(each) == "gateway")
    blocks = []
    async with ScoringClient(server.target) as client:
        if (verdict := await client.score(Content(content))).action is not Action.ALLOW:
            raise RuntimeError(f"{_CLIP.name} is {verdict.action.name}")
        for _ in range(_WARM_UP + _BLOCKS):
            before = _cpu_ns(gateway)
            for _ in range(_REQUESTS):
                await client.score_digest(digest)
            blocks.append((_cpu_ns(gateway) - before) / 1e3 / _REQUESTS)
    return blocks[_WARM_UP:]


async def _handing_over(digest: str) -> list[float]:
    """The steps of ScoringService that are not made without a case service, in their order."""
    request = scoring_pb2.ScoreRequest(video_id="video 1", content_digest=digest)
    verdict = scoring_pb2.Verdict(action=scoring_pb2.ACTION_ALLOW, content_digest=digest)
    blocks = []
    with TemporaryDirectory() as spool:
        async with case_handoff_to(free_address(), Path(spool)) as handoff:
            for _ in range(_WARM_UP + _BLOCKS):
                before = time.thread_time_ns()
                for _ in range(_REQUESTS):
                    check_subject(request)
                    await handoff.hand_over(request, verdict, partial(_not_asked, verdict))
                blocks.append((time.thread_time_ns() - before) / 1e3 / _REQUESTS)
    return blocks[_WARM_UP:]


def _not_asked(verdict: scoring_pb2.Verdict) -> Any:
    raise AssertionError(f"{verdict.action} is no case")


def _cpu_ns(process: psutil.Process) -> int:
    """On processors so far, all threads together; finer than the ticks of `cpu_times`."""
    total = 0
    for thread in Path(f"/proc/{process.pid}/task").glob("*/schedstat"):
        with suppress(FileNotFoundError):
            total += int(thread.read_text().split()[0])
    return total
