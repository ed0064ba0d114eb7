"""What handing cases over costs a gateway for videos that are no case: ALLOWs from the cache, the cheapest answers."""

from __future__ import annotations

import asyncio
import random
import statistics
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any

import psutil
from blake3 import blake3

from wildgate_client import Action, Content, ScoringClient
from wildgate_perf.cpu_time import kind_of
from wildgate_perf.server_parts import free_address
from wildgate_perf.server_process import ServerProcess, serving

__all__ = ["allowed"]

_CLIP = Path(__file__).resolve().parents[3] / "samples" / "cat_photograph.mp4"
_WARM_UP = 20
_ENDS = ("", "_low", "_high")
_ROUNDS, _REQUESTS, _AT_ONCE = 400, 10, 4  # short blocks: what disturbs one disturbs the next, too


def allowed() -> dict[str, Any]:
    """Processor time of a gateway that hands cases over, by that of one that does not; both answer the same.

    They take turns, a short block of requests each, in an order that is drawn for each round, so that whatever else the
    machine does falls on both. Ratios are medians of the rounds, between the ends of a 95 % interval; that of two
    gateways of the same settings (`control_ratio`) says what this can tell apart at all.
    """
    with ExitStack() as running, tempfile.TemporaryDirectory() as spool:
        servers = [running.enter_context(serving()) for _ in range(2)]
        handing = serving(enforcement__target=free_address(), enforcement__spool_directory=Path(spool))
        rounds = asyncio.run(_in_turns((*servers, running.enter_context(handing))))
    control = _interval([same / plain for plain, same, _ in rounds])
    # Both plain ones together are what the third is held against.
    ratio = _interval([2 * handing / (plain + same) for plain, same, handing in rounds])
    return {
        "rounds": len(rounds),
        "allow_cpu_ms": statistics.median(plain for plain, *_ in rounds),
        **{f"allow_cpu_ratio{end}": each for end, each in zip(_ENDS, ratio, strict=True)},
        **{f"control_ratio{end}": each for end, each in zip(_ENDS, control, strict=True)},
    }


async def _in_turns(servers: Sequence[ServerProcess]) -> list[list[float]]:
    """For each round, processor milliseconds of a request to each server."""
    content = _CLIP.read_bytes()
    digest = f"blake3:{blake3(content).hexdigest()}"
    draw, rounds = random.Random(5), []
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(ScoringClient(server.target)) for server in servers]
        gateways = [next(each for each in server.processes() if kind_of(each) == "gateway") for server in servers]
        for client in clients:
            if (verdict := await client.score(Content(content))).action is not Action.ALLOW:
                raise RuntimeError(f"{_CLIP.name} is {verdict.action.name}")

        async def block(client: ScoringClient) -> None:
            for _ in range(_REQUESTS):
                await client.score_digest(digest)

        for number in range(-_WARM_UP, _ROUNDS):
            spent = [0.0] * len(servers)
            for at in draw.sample(range(len(servers)), len(servers)):
                before = _cpu_ns(gateways[at])
                await asyncio.gather(*(block(clients[at]) for _ in range(_AT_ONCE)))
                spent[at] = (_cpu_ns(gateways[at]) - before) / 1e6 / (_REQUESTS * _AT_ONCE)
            if number >= 0:
                rounds.append(spent)
    return rounds


def _cpu_ns(process: psutil.Process) -> int:
    """On processors so far, all threads together; finer than the ticks of `cpu_times`."""
    threads = Path(f"/proc/{process.pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads)


def _interval(values: Sequence[float]) -> tuple[float, float, float]:
    """The median, and the ends of its 95 % interval by order statistics: no distribution is assumed."""
    ordered, half = sorted(values), 0.98 * len(values) ** 0.5
    low, high = max(round(len(values) / 2 - half), 0), min(round(len(values) / 2 + half), len(values) - 1)
    return statistics.median(values), ordered[low], ordered[high]
